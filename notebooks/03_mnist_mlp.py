# %% [markdown]
# # 3. MNIST with a multilayer perceptron / MNISTと多層パーセプトロン
#
# 演習3-1から3-4。784-784-784-10 のネットワークで手書き数字を分類し、シグモイドとReLU、エポック数の影響を比べます。
#
# MNISTが手元 (環境変数 `SHINSO_DATA` のフォルダ) にあればそれを使い、なければ、shinso に入っている本物の手書き数字
# (Alpaydin と Kaynak の1,797枚。MNISTと同じ 28×28 に整えたもの) で代用します。どちらを使ったかは必ず表示します。

# %% [markdown]
# ## Set-up / 準備

# %%
# shinso を入れる (すでに入っていれば何もしなくてよい)
# # %pip install --quiet shinso

# %%
import os

import matplotlib.pyplot as plt
import torch
from torch import nn

from shinso.core.place import Place
from shinso.data.examples import open_data
from shinso.engine.loop import run
from shinso.learn.classify import CLASSIFY
from shinso.learn.supervised import Plan, Supervised

SMOKE = os.environ.get("SHINSO_NOTEBOOKS") == "smoke"  # 自動試験では小さく動かす
NAME = "mnist" if os.path.isdir(os.path.join(os.environ.get("SHINSO_DATA", ""), "mnist")) and not SMOKE else "digits"
data = open_data(NAME)
print(f"data: {NAME}, {len(data.train)} training and {len(data.test)} test images of {data.about.shape}")

# %% [markdown]
# ## The data / データを見る
#
# 画像は $n = 784$ 個の数の並びです。講義では `Normalize((0.5,), (1.0,))` を使いました。二番目の引数は「割る数」なので、
# 範囲は $[-0.5, 0.5]$ になります ($[-1, 1]$ ではありません)。shinso のデータは訓練部分の平均と標準偏差で正規化されます。

# %%
figure, axes = plt.subplots(1, 8, figsize=(8, 1.4))
for axis, (image, label) in zip(axes, (data.train[i] for i in range(8)), strict=True):
    axis.imshow(image[0].numpy(), cmap="gray_r")
    axis.set_title(int(label))
    axis.axis("off")
plt.show()

# %% [markdown]
# ## The network and its training / ネットワークと学習
#
# `Supervised` は「一ステップ = 一つのミニバッチと一回の更新」というプログラム、`run` はそれを進めるただ一つのループです。
# 次の行を求めるかどうかは、こちらが決めます。

# %%
HIDDEN = 64 if SMOKE else 784


def network(bend):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(784, HIDDEN), bend(), nn.Linear(HIDDEN, HIDDEN), bend(),
                         nn.Linear(HIDDEN, 10))


def train(bend, epochs, batch_size=200):
    """学習したプログラムと、損失の列。"""
    model = network(bend)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    program = Supervised(model, optimiser, CLASSIFY, data, Plan(epochs=epochs, batch_size=batch_size, seed=0), Place())
    losses = [float(row.record["loss"]) for row in run(program)]
    return program, losses


# 数字1,797枚では一エポックが7ステップしかないので、MNISTの3エポック (900ステップ) に合わせて繰り返す
per_epoch = -(-len(data.train) // 200)
PASSES = 1 if NAME == "mnist" else (8 if SMOKE else round(300 / per_epoch))
print("one 'epoch' here:", PASSES * per_epoch, "steps")

# %% [markdown]
# ## Exercise 3-1: run it / 演習3-1 動かす
#
# パラメータは何個ですか。ReLUで3エポック学習し、テスト正解率を求めてください。

# %%
# ここに書く

# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 3-1
parameters = 784 * 784 + 784 + 784 * 784 + 784 + 784 * 10 + 10
print("784-784-784-10:", parameters)
assert parameters == 1_238_730
relu, relu_losses = train(nn.ReLU, epochs=3 * PASSES)
found = relu.evaluate("test")
print({name: round(value, 4) for name, value in found.items()})
assert found["accuracy"] > (0.5 if SMOKE else 0.95)

# %% [markdown]
# ## Exercise 3-2: sigmoid against ReLU / 演習3-2 シグモイドとReLU
#
# 中間層の活性化関数をシグモイドにすると、同じ3エポックでどうなりますか。理由は $\sigma' \le 1/4$ から説明できます。

# %%
# ここに書く

# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 3-2
sigmoid, sigmoid_losses = train(nn.Sigmoid, epochs=3 * PASSES)
plt.plot(relu_losses, label="ReLU")
plt.plot(sigmoid_losses, label="sigmoid")
plt.xlabel("step")
plt.ylabel("loss")
plt.legend()
plt.show()
print("ReLU", relu.evaluate("test")["accuracy"], "sigmoid", sigmoid.evaluate("test")["accuracy"])
# 層を一つ戻るたびに勾配は σ' ≤ 1/4 倍される。シグモイドの網は、はじめのうちほとんど動かない。
assert relu.evaluate("test")["accuracy"] > sigmoid.evaluate("test")["accuracy"] + 0.1

# %% [markdown]
# ## Exercise 3-3: epochs / 演習3-3 エポック数
#
# 1、3、5エポックで比べてください。シグモイドの最初の一エポックだけを見て「学習しない」と言ってよいでしょうか。

# %%
# ここに書く

# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 3-3
for epochs in (1, 3) if SMOKE else (1, 3, 5):
    pair = [round(train(bend, epochs * PASSES)[0].evaluate("test")["accuracy"], 4) for bend in (nn.ReLU, nn.Sigmoid)]
    print(f"{epochs} epochs: ReLU {pair[0]}, sigmoid {pair[1]}")
longer, _ = train(nn.Sigmoid, epochs=(12 if SMOKE else 15) * PASSES)
print("sigmoid, much longer:", longer.evaluate("test")["accuracy"])
assert longer.evaluate("test")["loss"] < sigmoid.evaluate("test")["loss"]  # 遅いだけで、学習はしている

# %% [markdown]
# ## Exercise 3-4: improve it / 演習3-4 改良
#
# 正解率を上げる工夫を二つ以上試してください (更新則、バッチサイズ、学習率、層の数…)。`shinso run basics.mlp --help` が参考になります。

# %%
# ここに書く

# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 3-4
from shinso.learn.schedules import cosine
from shinso.optim.adam import Adam

model = network(nn.ReLU)
plan = Plan(epochs=3 * PASSES, batch_size=50, seed=0, schedule=cosine)  # 小さなバッチ、下がっていく学習率
better = Supervised(model, Adam(model.parameters(), lr=0.001, fused=True), CLASSIFY, data, plan, Place())
for _ in run(better):
    pass
print("SGD 0.1, batch 200:", relu.evaluate("test"), "\nAdam, batch 50, cosine:", better.evaluate("test"))
assert better.evaluate("test")["accuracy"] > relu.evaluate("test")["accuracy"]

# %% [markdown]
# ## What to remember / まとめ
#
# - 同じ構造でも、活性化関数だけで学習の速さは桁違いに変わる。
# - 比べるときは、同じ初期値・同じデータの順序・同じステップ数で。
# - 間違えた画像と混同行列は `shinso run basics.mlp --data mnist` のレポートに載ります。
