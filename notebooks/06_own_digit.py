# %% [markdown]
# # 6. Recognise a digit of your own / 自分の手書き数字を認識する
#
# 課題「自分で書いた数字を認識させる」。紙に黒で書いた数字の写真は、黒地に白で書かれたMNISTと**白黒が逆**です。
# そのまま入れると、当てずっぽうより悪いことさえあります。何をそろえればよいかを、一つずつ確かめます。

# %% [markdown]
# ## Set-up / 準備

# %%
# shinso を入れる (すでに入っていれば何もしなくてよい)
# # %pip install --quiet shinso

# %%
import os
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image

from shinso.data.examples import to_float
from shinso.data.prepare import prepare
from shinso.engine.loop import run
from shinso.vision import lenet

SMOKE = os.environ.get("SHINSO_NOTEBOOKS") == "smoke"  # 自動試験では小さく動かす

# %% [markdown]
# ## A network that reads digits / 数字を読むネットワーク
#
# shinso に入っている手書き数字でLeNet-5を学習します (MNISTがあれば `data="mnist"` に)。

# %%
setup = replace(lenet.VARIANTS["default"], epochs=4 if SMOKE else lenet.VARIANTS["default"].epochs)
program = lenet.build(setup)
for _ in run(program):
    pass
print(program.evaluate("test"))

# %% [markdown]
# ## A photograph / 写真を用意する
#
# ここでは写真の代わりに、データセットの数字を大きくし、黒地と白地を逆にし、端に寄せ、暗くした「紙の写真」を作ります。
# 自分の写真があれば、そのファイル名に置き換えてください。

# %%
image, label = program.data.test[0]
digit = np.asarray(Image.fromarray(image[0].numpy()).resize((300, 300), Image.Resampling.BICUBIC), dtype=float)
paper = np.full((600, 800), 215.0) - np.linspace(0, 40, 800)  # 影のある紙
paper[250:550, 60:360] -= 0.7 * digit
Image.fromarray(paper.clip(0, 255).astype(np.uint8)).save("my_digit.png")
plt.imshow(paper, cmap="gray", vmin=0, vmax=255)
plt.title(f"a photograph of {int(label)}")
plt.axis("off")
plt.show()

# %% [markdown]
# ## Exercise: bring it into MNIST's form / 課題 MNISTの形にする
#
# 1. テスト画像すべての白黒を反転させると、正解率はいくつになりますか。写真を 28×28 に縮めるだけでは、何が足りませんか。
# 2. 白黒の反転、切り出し、20×20 に収めること、重心を中央に合わせること。`shinso.data.prepare.prepare` はこれらを行います。結果を比べてください。

# %%
# ここに書く

# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答


@torch.no_grad()
def probabilities(images):
    """uint8 (n, 1, 28, 28) から、十個の確率 (n, 10)。"""
    program.model.eval()
    return program.model(to_float(images, program.data.about)).softmax(1)


test = program.data.test
right, inverted = ((probabilities(images).argmax(1) == test.targets).float().mean().item()
                   for images in (test.inputs, 255 - test.inputs))
print(f"test accuracy {right:.3f}, with black and white exchanged {inverted:.3f}")
assert inverted < 0.5 < right

naive = np.asarray(Image.open("my_digit.png").resize((28, 28)), dtype=float)
ready = prepare("my_digit.png", program.data.about)[0].numpy()
shown = {"only resized": naive, "prepared": ready, "original": image[0].numpy()}
figure, axes = plt.subplots(1, 3, figsize=(8, 3))
for axis, (title, picture) in zip(axes, shown.items(), strict=True):
    axis.imshow(picture, cmap="gray", vmin=0, vmax=255)
    axis.set_title(title)
    axis.axis("off")
plt.show()
(answer, probability), = program.predict([Path("my_digit.png")])
print(f"answer {answer}, probability {probability:.3f}, truth {int(label)}")
assert answer == str(int(label))
ten = probabilities(torch.from_numpy(ready)[None, None])[0]
print("ten probabilities:", [round(float(p), 3) for p in ten])
assert len(ten) == 10 and abs(float(ten.sum()) - 1) < 1e-5 and int(ten.argmax()) == int(label)

# MNISTの形: 28×28、灰色、黒地に白、重心は中央
rows, columns = np.mgrid[0:28, 0:28]
centre = np.array([(rows * ready).sum(), (columns * ready).sum()]) / ready.sum()
print("centre of mass:", centre)
assert ready.shape == (28, 28) and ready[0].max() == 0 and abs(centre - 14).max() < 0.5
scaled = ready / 255  # [0, 1] にそろえる
assert (scaled.min(), scaled.max()) == (0, 1)

# 白黒を反転した写真も、二倍や半分の大きさの写真も、同じ形になる
Image.fromarray(255 - np.asarray(Image.open("my_digit.png"))).save("inverted.png")
Image.open("my_digit.png").resize((1600, 1200)).save("large.png")
Image.open("my_digit.png").resize((400, 300)).save("small.png")
for twin in ("inverted.png", "large.png", "small.png"):
    difference = np.abs(prepare(twin, program.data.about)[0].numpy().astype(float) - ready).mean()
    print(f"{twin}: mean difference {difference:.2f} of 255")
    assert difference < 2
    assert program.predict([Path(twin)])[0][0] == answer

# %% [markdown]
# ## What to remember / まとめ
#
# - モデルより先に、入力の形を疑う。学習したときと同じ形でなければ、どんなネットワークも読めない。
# - コマンドなら一行: `shinso predict runs/... photo.jpg`
