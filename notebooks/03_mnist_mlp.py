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
from dataclasses import replace

import matplotlib.pyplot as plt
import torch
from torch import nn

from shinso.core.place import Place
from shinso.data.examples import open_data, to_float
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
# 範囲は $[-0.5, 0.5]$ になります ($[-1, 1]$ ではありません)。shinso のデータは、ふつうは訓練部分の平均と標準偏差で
# 正規化されますが、ここでは講義と同じ数に置き換えます。
#
# 講義のノートブックの `data_iter.next()` は、今のPyTorchにはありません。`next(data_iter)` と書きます。

# %%
data = replace(data, about=replace(data.about, mean=(0.5,), std=(1.0,)))
inputs = to_float(data.train.inputs, data.about)
print("inputs from", float(inputs.min()), "to", float(inputs.max()))
assert (float(inputs.min()), float(inputs.max())) == (-0.5, 0.5)

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
# 次の行を求めるかどうかは、こちらが決めます。途中のエポックでテスト正解率を測りたければ、そこで尋ねればよいのです。

# %%
HIDDEN = 48 if SMOKE else 784


def network(bend, hidden=HIDDEN):
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(784, hidden), bend(), nn.Linear(hidden, hidden), bend(),
                         nn.Linear(hidden, 10))


# 数字1,797枚では一巡が7ステップしかないので、MNISTの1エポック (300ステップ) に合わせて繰り返し、それを1エポックと呼ぶ
once = -(-len(data.train) // 200)
PASSES = 1 if NAME == "mnist" else round((56 if SMOKE else 300) / once)
print("one epoch here:", PASSES * once, "steps")


def train(bend, epochs):
    """損失の列と、{エポック: テストの損失と正解率}。"""
    model = network(bend)
    plan = Plan(epochs=epochs * PASSES, batch_size=200, seed=0)
    program = Supervised(model, torch.optim.SGD(model.parameters(), lr=0.1), CLASSIFY, data, plan, Place())
    losses, found = [], {}
    for row in run(program):
        losses.append(float(row.record["loss"]))
        if row.step % (PASSES * once) == 0:
            found[row.step // (PASSES * once)] = program.evaluate("test")
    return losses, found


def share(measured):
    return f"{measured['accuracy']:.4f}"

# %% [markdown]
# ## Exercise 3-1: run it / 演習3-1 動かす
#
# パラメータは何個ですか。ReLUで3エポック学習し、テスト正解率を求めてください。

# %%
# ここに書く

# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 3-1
parameters = sum(p.numel() for p in network(nn.ReLU, hidden=784).parameters())
print("784-784-784-10:", parameters)
assert parameters == 2 * (784 * 784 + 784) + 784 * 10 + 10 == 1_238_730
relu_losses, relu = train(nn.ReLU, epochs=3)
print(f"{NAME}: ReLU after 3 epochs ({len(relu_losses)} steps): {share(relu[3])}")
assert relu[3]["accuracy"] > (0.85 if SMOKE else 0.95 if NAME == "digits" else 0.9)

# %% [markdown]
# ## Exercise 3-2: sigmoid against ReLU / 演習3-2 シグモイドとReLU
#
# 中間層の活性化関数をシグモイドにすると、同じ3エポックでどうなりますか。理由は $\sigma' \le 1/4$ から説明できます。

# %%
# ここに書く

# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 3-2
sigmoid_losses, sigmoid = train(nn.Sigmoid, epochs=3)
plt.plot(relu_losses, label="ReLU")
plt.plot(sigmoid_losses, label="sigmoid")
plt.xlabel("step")
plt.ylabel("loss")
plt.legend()
plt.show()
print(f"ReLU {share(relu[3])}, sigmoid {share(sigmoid[3])}")
# 活性化を一つ戻るたびに、勾配には σ' ≤ 1/4 が掛かる。シグモイドのネットワークは、はじめのうちほとんど動かない。
assert relu[3]["accuracy"] > sigmoid[3]["accuracy"] + 0.03

# %% [markdown]
# ## Exercise 3-3: epochs / 演習3-3 エポック数
#
# 1、3、5エポックで比べてください。シグモイドの最初の一エポックだけを見て「学習しない」と言ってよいでしょうか。

# %%
# ここに書く

# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 3-3
relu, sigmoid = train(nn.ReLU, epochs=5)[1], train(nn.Sigmoid, epochs=10)[1]
for epochs in (1, 3, 5):
    print(f"{epochs} epochs: ReLU {share(relu[epochs])}, sigmoid {share(sigmoid[epochs])}")
print(f"10 epochs: sigmoid {share(sigmoid[10])}")
# 最初の一エポックでは「学習しない」ように見えるが、遅いだけで、学習はしている
assert sigmoid[10]["accuracy"] > sigmoid[1]["accuracy"] + 0.1

# %% [markdown]
# ## Exercise 3-4: improve it / 演習3-4 改良
#
# 正解率を上げる工夫を二つ以上試してください (更新則、バッチサイズ、学習率、層の数…)。`shinso run basics.mlp --help` が参考になります。

# %%
# ここに書く

# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 3-4
from shinso.optim.adam import Adam
from shinso.optim.cosine import cosine

model = network(nn.ReLU)
plan = Plan(epochs=3 * PASSES, batch_size=50, seed=0, schedule=cosine)  # 小さなバッチ、下がっていく学習率
better = Supervised(model, Adam(model.parameters(), lr=0.001, fused=True), CLASSIFY, data, plan, Place())
for _ in run(better):
    pass
print(f"SGD 0.1, batch 200: {share(relu[3])}; Adam, batch 50, cosine: {share(better.evaluate('test'))}")
assert better.evaluate("test")["accuracy"] > relu[3]["accuracy"]

# %% [markdown]
# ## What to remember / まとめ
#
# - 同じ構造でも、活性化関数だけで学習の速さは桁違いに変わる。
# - 比べるときは、同じ初期値・同じデータの順序・同じステップ数で。
# - 平均を表示するときは、足した個数で割る。講義のコードが最初に表示する損失は、99個のミニバッチの和を100で割っている。
# - 間違えた画像と混同行列は `shinso run basics.mlp --data mnist` のレポートに載ります。
