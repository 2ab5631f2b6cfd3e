# %% [markdown]
# # 4. MNIST above 99 percent / MNISTで99パーセントを超える
#
# 演習3-5、3-6。畳み込みネットワークを自分で組み立て、形と個数を**先に計算してから**動かします。
# MNISTが手元になければ、shinso に入っている手書き数字で代用し、そのことを表示します。

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
from shinso.data.examples import open_data, to_float
from shinso.engine.loop import run
from shinso.learn.classify import CLASSIFY
from shinso.learn.supervised import Plan, Supervised
from shinso.optim.adam import Adam
from shinso.optim.one_cycle import one_cycle

SMOKE = os.environ.get("SHINSO_NOTEBOOKS") == "smoke"  # 自動試験では小さく動かす
NAME = "mnist" if os.path.isdir(os.path.join(os.environ.get("SHINSO_DATA", ""), "mnist")) and not SMOKE else "digits"
data = open_data(NAME)
print(f"data: {NAME}, {len(data.train)} training and {len(data.test)} test images")

# %% [markdown]
# ## Exercise 3-5: shapes and counts first / 演習3-5 形と個数
#
# 3×3の畳み込み (1→32)、3×3の畳み込み (32→64)、2×2の最大プーリング、全結合 128、全結合 10。
# 出力サイズの式 $O = \lfloor (H + 2P - F)/S \rfloor + 1$ から、各層の一辺と、パラメータの総数を紙の上で求めてください。

# %%
# ここに書く

# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 3-5
from shinso.autodiff.byhand.zero_padding import output_size

first = output_size(28, 3)
second = output_size(first, 3)
pooled = output_size(second, 2, stride=2)
print(28, "->", first, "->", second, "->", pooled, "; flattened:", 64 * pooled**2)
assert (first, second, pooled, 64 * pooled**2) == (26, 24, 12, 9216)
parameters = (1 * 9 + 1) * 32 + (32 * 9 + 1) * 64 + (9216 + 1) * 128 + (128 + 1) * 10
print("parameters:", parameters)
assert parameters == 1_199_882

# %% [markdown]
# ## Exercise 3-6: train it / 演習3-6 学習
#
# 同じものを `nn.Sequential` で書き、数が合うことを確かめてから学習してください。
# GPUを使うなら、モデルもデータも**同じ**装置に置きます。講義のノートブックで `isgpu = True` とすると、最後のセルが
# CPUのデータをGPUのモデルに渡して止まります。

# %%
# ここに書く

# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 3-6
torch.manual_seed(0)
model = nn.Sequential(
    nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
    nn.Linear(9216, 128), nn.ReLU(), nn.Linear(128, 10),
)
assert sum(p.numel() for p in model.parameters()) == parameters
epochs = 1 if SMOKE else 3 if NAME == "mnist" else 8
# 学習率を上げてから0まで下げる。一定の 0.001 では、MNISTの3エポックで 0.988 前後にとどまる
plan = Plan(epochs=epochs, batch_size=100, seed=0, schedule=one_cycle)
program = Supervised(model, Adam(model.parameters(), lr=0.002, fused=True), CLASSIFY, data, plan, Place())
for row in run(program):
    if row.step % (5 if SMOKE else 100) == 0:
        print(f"step {row.step:4d}: loss {float(row.record['loss']):.4f}")
accuracy = program.evaluate("test")["accuracy"]
print(f"{NAME}: test accuracy {accuracy:.4f} after {program.total} steps")
assert accuracy > (0.7 if SMOKE else 0.99 if NAME == "mnist" else 0.97)

# GPUがあれば: モデルも入力も同じ装置に置けば、出力 (ロジット) はCPUと同じになる
if torch.cuda.is_available():
    inputs = to_float(data.test.inputs[:100], data.about)
    with torch.no_grad():
        there = model.cuda()(inputs.cuda()).cpu()
        assert (model.cpu()(inputs) - there).abs().max() < 1e-4 * there.abs().max()
for name, picture in program.pictures().items():
    plt.figure(figsize=(6, 6))
    plt.imshow(picture)
    plt.axis("off")
    plt.title(name)
    plt.show()

# %% [markdown]
# ## What to remember / まとめ
#
# - 重みの大部分は畳み込みではなく、最初の全結合層にある (9,217 × 128 個)。
# - 小さな LeNet-5 でも同じ正解率に届く: `shinso run vision.lenet --data mnist`。中を手で書いたものは `shinso run basics.lenet_by_hand`。
