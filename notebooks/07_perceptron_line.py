# %% [markdown]
# # 7. The line of a perceptron / パーセプトロンの発火の境界線
#
# 課題の答え合わせ。重み $w = (2.14037745, 1.2763927)$、しきい値 $b = -9$ のパーセプトロンが発火する領域を図にします。

# %% [markdown]
# ## Set-up / 準備

# %%
# shinso を入れる (すでに入っていれば何もしなくてよい)
# # %pip install --quiet shinso

# %%
import matplotlib.pyplot as plt
import numpy as np

w, b = np.array([2.14037745, 1.2763927]), -9.0

# %% [markdown]
# ## Exercise: intercepts and picture / 課題 切片と図
#
# 境界 $w_0 x_1 + w_1 x_2 + b = 0$ が二つの軸を切る点を求め、発火する側を塗ってください。
# ちょうど境界の上 (値が0) のときどうするかは、自分で決める必要があります。

# %%
# ここに書く

# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答
crossing = -b / w
print("x1 =", crossing[0], " x2 =", crossing[1])
assert np.allclose(crossing, [4.20486583, 7.05112149], atol=1e-8)


def fires(points):
    """0 以上なら発火、と決める。"""
    return points @ w + b >= 0


grid = np.stack(np.meshgrid(np.linspace(0, 8, 200), np.linspace(0, 8, 200)), axis=-1)
plt.contourf(grid[..., 0], grid[..., 1], fires(grid), levels=[-0.5, 0.5, 1.5], colors=["#dbeafe", "#fecaca"])
plt.plot([crossing[0], 0], [0, crossing[1]], "o-", color="black")
plt.xlabel("x1")
plt.ylabel("x2")
plt.gca().set_aspect("equal")
plt.show()

on_line = np.linspace([crossing[0], 0], [0, crossing[1]], 11)
normal = w / np.linalg.norm(w)
assert fires(on_line + 1e-6 * normal).all() and not fires(on_line - 1e-6 * normal).any()  # 線の両側で符号が変わる
assert np.ptp((on_line + 0.5 * normal) @ w) < 1e-12  # 線に沿っては変わらない

# %% [markdown]
# ## What to remember / まとめ
#
# - $w$ は境界に垂直で、発火する側を向く。切片は $-b/w_i$。
# - 重みを学習する様子は `shinso run basics.perceptron` で見られます。
