# %% [markdown]
# # 1. Gradient descent / 勾配降下法
#
# 演習1-0 (Pythonの復習)、演習1-1 (二乗和)、演習1-2 (学習率と初期値) を扱います。
# 目標は、学習率 $\alpha$ をいくつにすれば勾配法が収束するかを、**予測してから**確かめることです。
#
# 上から順に実行してください。各問の下に「解答」のセルが折りたたまれています。まず自分で書いてから開きましょう。

# %% [markdown]
# ## Set-up / 準備
#
# shinso がまだ入っていない環境 (Colab など) では、次のセルの二行目の先頭の `#` を消して、一度だけ実行します。
# `shinso` の代わりに、手元の複製の場所 (例: `..`) を書くこともできます。

# %%
# shinso を入れる (すでに入っていれば何もしなくてよい)
# # %pip install --quiet shinso

# %%
import matplotlib.pyplot as plt
import numpy as np

# %% [markdown]
# ## Exercise 1-0: Python in five lines / 演習1-0 Pythonの復習
#
# 0から9までの和、二つの数の二乗の和を返す関数、2の平方根を書いてください。
# 変数名に `sum` を使うと組み込み関数が隠れてしまうので、別の名前にします。

# %%
# ここに書く


# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 1-0
total = 0
for number in range(10):
    total += number


def square_sum(x, y):
    return x**2 + y**2


print(total, square_sum(1, 2), 2**0.5)
assert total == sum(range(10)) == 45
assert square_sum(1, 2) == 5
assert 2**0.5 == 1.4142135623730951

# %% [markdown]
# ## Exercise 1-1: a sum of squares / 演習1-1 二乗和
#
# $1^2 + 2^2 + \dots + 100^2$ を求めてください。公式 $n(n+1)(2n+1)/6$ と一致しますか。

# %%
# ここに書く

# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 1-1
squares = sum(k**2 for k in range(1, 101))
print(squares)
assert squares == 100 * 101 * 201 // 6 == 338350

# %% [markdown]
# ## By hand: four steps on $f(s) = s^2$ / 手で四ステップ
#
# $s \leftarrow s - \alpha f'(s)$ を、$s = 2$、$\alpha = 0.2$ から四回。$f'(s) = 2s$ なので一回ごとに $s$ は $1 - 2\alpha = 0.6$ 倍になります。
# 紙の上で計算してから、次のセルで確かめましょう。微分は shinso の自動微分に任せます。

# %%
from shinso.autodiff.scalar import Value

s, alpha, course = 2.0, 0.2, [2.0]
for _ in range(4):
    x = Value(s)
    (x * x).backward()
    s = s - alpha * x.grad
    course.append(s)
print([round(value, 6) for value in course])
assert np.allclose(course, [2, 1.2, 0.72, 0.432, 0.2592], atol=1e-12)

# %% [markdown]
# ## Exercise 1-2: the learning rate / 演習1-2 学習率と初期値
#
# $f(x, y) = \frac{1}{2}x^2 + 5y^2$ を、初期値 $(4, 1)$、学習率 $\alpha = 0.18$ で20ステップ最小化します。
#
# 1. 曲率は $x$ 方向に 1、$y$ 方向に 10 です。$0 < \alpha < 2/L$ で収束するという定理から、境目の $\alpha$ を**先に**答えてください。
# 2. $\alpha = 0.2$、それより大きい値、$0.05$、$0.005$ を試し、予測と比べてください。
# 3. 初期値を変えてください。$x$ 軸の上から始めるとどうなりますか。
#
# 講義のノートブックは一ステップ目の後から点を記録していたので、図に出発点がありません。ここでは出発点も描きます。

# %%
from shinso.autodiff.tensor import Tensor


def descend(start, rate, steps=20):
    """出発点を含む、たどった点の配列 (steps + 1, 2)。"""
    points = [np.array(start, dtype=float)]
    for _ in range(steps):
        p = Tensor(points[-1], requires_grad=True)
        (0.5 * p[0] ** 2 + 5 * p[1] ** 2).backward()
        points.append(points[-1] - rate * p.grad)
    return np.array(points)


def draw(points, title):
    x, y = np.meshgrid(np.linspace(-5, 5, 101), np.linspace(-2, 2, 81))
    plt.figure(figsize=(7, 3))
    plt.contour(x, y, 0.5 * x**2 + 5 * y**2, levels=15, cmap="Blues")
    plt.plot(points[:, 0], points[:, 1], "o-", color="tab:red", markersize=3)
    plt.plot(*points[0], "s", color="black", label="start")
    plt.title(title)
    plt.legend()
    plt.show()


points = descend((4, 1), 0.18)
draw(points, "alpha = 0.18")
print(points[-1])

# %%
# ここで学習率と初期値を変えて試す

# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 1-2
# 各座標は独立に x_t = 4 (1 - a)^t, y_t = (1 - 10 a)^t。|1 - 10 a| < 1 すなわち a < 0.2 で収束する。
t = np.arange(21)
for rate in (0.18, 0.2, 0.05, 0.005):
    found = descend((4, 1), rate)
    predicted = np.stack([4 * (1 - rate) ** t, (1 - 10 * rate) ** t], axis=1)
    assert np.allclose(found, predicted, atol=1e-12)
    draw(found, f"alpha = {rate}")

assert np.allclose(points[-1], [0.0755678, 0.0115292], atol=1e-7)  # 0.18 では収束する
assert np.allclose(np.abs(descend((4, 1), 0.2)[:, 1]), 1)  # ちょうど 0.2 では y が +1 と -1 を往復する
assert abs(descend((4, 1), 0.21)[-1, 1]) > 5  # それより大きいと発散する
assert not descend((4, 0), 0.5)[:, 1].any()  # x 軸の上から始めると y は 0 のまま: 発散する方向がない
print("0.05 は着実に、0.005 は 20 ステップでは途中まで:", descend((4, 1), 0.05)[-1], descend((4, 1), 0.005)[-1])

# %% [markdown]
# ## What to remember / まとめ
#
# - 曲率 $L$ の方向では $0 < \alpha < 2/L$ のときだけ収束する。いちばん曲がった方向が学習率を決め、いちばん平らな方向が時間を決める。
# - `shinso run basics.gradient_descent` で、同じことを任意の出発点と学習率で試せます。
