# %% [markdown]
# # 5. Multiple linear regression / 重線形回帰
#
# 演習4-1から4-4。気温・降水量・湿度からリンゴの収穫量 (yield) を予測します。データは5行しかありません。

# %% [markdown]
# ## Set-up / 準備

# %%
# shinso を入れる (すでに入っていれば何もしなくてよい)
# # %pip install --quiet shinso

# %%
import os

import matplotlib.pyplot as plt
import numpy as np

from shinso.autodiff.tensor import Tensor
from shinso.basics.linear_regression import FRUIT

SMOKE = os.environ.get("SHINSO_NOTEBOOKS") == "smoke"  # 自動試験では小さく動かす
X, y = FRUIT[:, :3], FRUIT[:, 3:]
print("temperature, rainfall, humidity -> apples")
print(FRUIT)

# %% [markdown]
# ## Automatic differentiation in one line / 自動微分を一行で
#
# $y = wx + b$ に $x = 3, w = 4, b = 5$ を入れると、$y = 17$、$\partial y/\partial w = 3$、$\partial y/\partial b = 1$ です。

# %%
x, w, b = Tensor(3.0), Tensor(4.0, requires_grad=True), Tensor(5.0, requires_grad=True)
product = w * x + b
product.backward()
print(product.item(), w.grad, b.grad)
assert (product.item(), float(w.grad), float(b.grad)) == (17, 3, 1)

# %% [markdown]
# ## Exercise 4-1: gradient descent / 演習4-1 勾配法
#
# $\hat y = Xw + b$、損失は平均二乗誤差、学習率 $10^{-5}$。講義の本文は100回、コードは10回の繰り返しです。両方を試してください。

# %%
# ここに書く


# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 4-1
def descend(rate, steps, seed=0):
    """重み、しきい値、損失の列。"""
    rng = np.random.default_rng(seed)
    weight, bias, losses = rng.normal(size=(3, 1)), rng.normal(size=1), []
    for _ in range(steps):
        w, b = Tensor(weight, requires_grad=True), Tensor(bias, requires_grad=True)
        loss = ((X @ w + b - y) ** 2).mean()
        loss.backward()
        weight, bias = weight - rate * w.grad, bias - rate * b.grad
        losses.append(loss.item())
    return weight, bias, losses


for steps in (10, 100):
    print(steps, descend(1e-5, steps)[2][-1])
assert descend(1e-5, 100)[2][-1] < descend(1e-5, 10)[2][-1]

# %% [markdown]
# ## Exercise 4-2: check a derivative by hand / 演習4-2 微分を手で確かめる
#
# 自分で式を一つ作り、手で微分し、自動微分・数値微分・数式微分と比べてください。`compare` は一つの式をすべての方法で微分します。

# %%
# ここに書く

# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 4-2
from math import exp

from shinso.autodiff.compare import compare

found = compare("exp(x*w)", x=2.0, w=0.5)
print(found.table())
by_hand = {"x": 0.5 * exp(1.0), "w": 2.0 * exp(1.0)}  # d/dx = w e^(xw), d/dw = x e^(xw)
for row in found.rows:
    for name, value in by_hand.items():
        assert abs(row.derivatives[name] - value) < (1e-12 if row.exact else 1e-6)

# %% [markdown]
# ## Exercise 4-3: the rate and the number of steps / 演習4-3 学習率と回数
#
# 学習率を大きくしていくと、どこで発散しますか。境目は曲率から予測できます: $2/\lambda_{\max}$、$H = \frac{2}{n}\tilde X^\top \tilde X$。

# %%
# ここに書く

# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 4-3
tilde = np.hstack([X, np.ones((5, 1))])
curvatures = np.linalg.eigvalsh(2 / 5 * tilde.T @ tilde)
limit = 2 / curvatures[-1]
print("limit:", limit, "condition number:", curvatures[-1] / curvatures[0])
assert abs(limit - 5.5836405e-5) < 1e-11
for rate in (1e-6, 1e-5, 5e-5, 6e-5):
    losses = descend(rate, 300)[2]
    plt.semilogy(losses, label=f"rate {rate}")
plt.legend()
plt.xlabel("step")
plt.ylabel("loss")
plt.show()
below, above = descend(0.99 * limit, 1000)[2], descend(1.01 * limit, 1000)[2]
assert below[-1] < below[0] and above[-1] > 1e3

# %% [markdown]
# ## Exercise 4-4: predict 80, 80, 80 / 演習4-4 予測
#
# 気温80、降水量80、湿度80のときの収穫量を予測してください。答えは、いつ止めたかで変わります。なぜでしょう。

# %%
# ここに書く

# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 4-4
ask = np.array([80.0, 80.0, 80.0])
for steps in (10, 100, 1000 if SMOKE else 10_000):
    weight, bias, losses = descend(1e-5, steps)
    print(f"{steps:6d} steps: prediction {(ask @ weight + bias).item():.3f}, mse {losses[-1]:.4f}, b {bias.item():.4f}")
solution = np.linalg.lstsq(tilde, y, rcond=None)[0].ravel()
exact = np.append(ask, 1) @ solution
mse = np.mean((tilde @ solution - y.ravel()) ** 2)
print("least squares:", solution, "prediction", exact, "mse", mse)
assert abs(exact - 91.03124971) < 1e-7 and abs(mse - 0.96151879) < 1e-7
# 条件数は 2.19e6。いちばん緩い方向 (ほぼ b の方向) は、発散しない学習率では事実上動かない。
assert abs(bias.item() - solution[3]) > 0.5

# %% [markdown]
# ## What to remember / まとめ
#
# - 訓練誤差が小さいことは、答えに着いたことを意味しない。特徴量を標準化すると谷は丸くなり、
#   500ステップで答えに着く: `shinso run basics.linear_regression` (標準化しないのは `--variant raw`)。
# - 5行に4個のパラメータ。小さな訓練誤差からは、ほとんど何も言えない。
