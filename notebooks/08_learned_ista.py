# %% [markdown]
# # 8. Learned ISTA / 学習型ISTA
#
# 未知数 $n = 300$ 個に対して観測は $m = 150$ 個しかありません。それでも、ほとんどの成分が0である**疎な**信号なら復元できます。
# ISTA (反復軟しきい値アルゴリズム) の歩幅としきい値を、一回ごとに学習させる「深層展開」を体験します。

# %% [markdown]
# ## Set-up / 準備

# %%
# shinso を入れる (すでに入っていれば何もしなくてよい)
# # %pip install --quiet shinso

# %%
import os

import matplotlib.pyplot as plt
import numpy as np
import torch

from shinso.maths.awgn import awgn
from shinso.maths.bernoulli_gauss import BernoulliGauss
from shinso.sparse.ista import Lasso, soft_threshold

SMOKE = os.environ.get("SHINSO_NOTEBOOKS") == "smoke"  # 自動試験では小さく動かす

# %% [markdown]
# ## The problem / 問題
#
# $y = Ax + w$。$A$ の成分は標準正規分布、$x$ の成分は確率 $p = 0.1$ で標準正規分布、それ以外は0、雑音の標準偏差は 0.05 です。
# ミニバッチでは一行が一つの信号なので、$y$ の行は $x A^\top + w$ になります。

# %%
M, N, NOISE, SHARE, ROUNDS = 150, 300, 0.05, 0.1, 20
rng = np.random.default_rng(0)
A = torch.tensor(rng.normal(size=(M, N)), dtype=torch.float32)


def signals(count):
    """疎な信号 (count, N) と、その観測 (count, M)。"""
    x = BernoulliGauss(SHARE).sample(rng, count * N).reshape(count, N)
    y = awgn(x @ A.numpy().T, NOISE, rng)
    return torch.tensor(x, dtype=torch.float32), torch.tensor(y, dtype=torch.float32)


def recover(y, steps, thresholds):
    """ISTA: 一回ごとの推定値の列。y は引数で受け取る (講義のコードは大域変数の y とバッチサイズを読んでいた)。"""
    x, course = y.new_zeros(len(y), N), []
    for step, threshold in zip(steps, thresholds, strict=True):
        x = soft_threshold(x + step * (y - x @ A.T) @ A, threshold)
        course.append(x)
    return course


x, y = signals(200)
print("x:", tuple(x.shape), " y:", tuple(y.shape), " share of entries that are not 0:", float((x != 0).float().mean()))

# %% [markdown]
# ## Exercise 6-1: the step size / 演習6-1 歩幅
#
# 講義では歩幅 $\beta = 0.001$、しきい値 $\lambda = 0.1$ から始めました。
#
# 1. $L = \|A\|_2^2$ はおよそ $(\sqrt{m} + \sqrt{n})^2$ です。値を求め、$\beta < 1/L$ を確かめてください。
# 2. しきい値 $\lambda$ は $\beta$ と罰則の係数の積なので、最小化しているのは $F(x) = \frac12\|y - Ax\|^2 + \frac{\lambda}{\beta}\|x\|_1$ です。
#    20回の間、$F$ は一度も増えないでしょうか。
# 3. 罰則の係数 $\lambda/\beta = 100$ はそのままに、$\beta$ を $3/L$、$10/L$ へ大きくしてください。保証の外で何が起きますか。

# %%
# ここに書く

# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 6-1
BETA, LAMBDA = 0.001, 0.1
predicted = (M**0.5 + N**0.5) ** 2
problem = Lasso(A.double(), y.double(), LAMBDA / BETA)
print(f"(sqrt m + sqrt n)^2 = {predicted:.1f}, measured L = {problem.lipschitz:.1f}, 1/L = {1 / problem.lipschitz:.3e}")
assert abs(predicted - 874.3) < 0.05 and abs(problem.lipschitz / predicted - 1) < 0.1
assert BETA < 1 / problem.lipschitz


def objectives(beta):
    course = recover(y, [beta] * ROUNDS, [LAMBDA / BETA * beta] * ROUNDS)
    return torch.stack([problem.objective(estimate.double()).mean() for estimate in course])


falling, lucky, rising = (objectives(beta) for beta in (BETA, 3 / problem.lipschitz, 10 / problem.lipschitz))
plt.semilogy(falling, label="beta = 0.001")
plt.semilogy(lucky, label="beta = 3 / L")
plt.semilogy(rising, label="beta = 10 / L")
plt.ylim(1e3, 1e8)
plt.xlabel("iteration")
plt.ylabel("F")
plt.legend()
plt.show()
assert (falling.diff() <= 1e-6 * falling[:-1]).all()  # 1/L より小さい歩幅では F は増えない
assert lucky[-1] < falling[-1]  # 3/L は保証の外だが、ここでは速い: 効くのは、0でない成分の列だけの (もっと小さい) 曲率だから
assert rising[-1] > 10 * rising[0]  # 運には限りがある: 10/L では発散する

# %% [markdown]
# ## Exercise 6-2: a threshold below zero / 演習6-2 負のしきい値
#
# 講義の縮小関数は $(r - \lambda)\,[r > \lambda] + (r + \lambda)\,[r < -\lambda]$ です。$\lambda \ge 0$ なら正しい式ですが、
# $\lambda$ を**学習**させると負になることがあります。$\lambda = -0.5$ のとき、$r = 0.1$ は何になりますか。

# %%
# ここに書く


# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 6-2
def lecture(r, threshold):
    return (r - threshold) * (r > threshold) + (r + threshold) * (r < -threshold)


r = torch.linspace(-1, 1, 201)
plt.plot(r, lecture(r, 0.5), label="0.5")
plt.plot(r, lecture(r, -0.5), label="-0.5")
plt.legend(title="threshold")
plt.show()
print(f"0.1 becomes {float(lecture(torch.tensor(0.1), -0.5)):.1f}")
assert torch.equal(lecture(r, 0.5), soft_threshold(r, 0.5))
small = r[r.abs() < 0.495]
assert torch.allclose(lecture(small, -0.5), 2 * small, atol=1e-6)  # 縮めるはずが二倍になる: 二つの条件が同時に成り立つから
# 対策: 更新のたびに 0 以上へ戻す (次の演習)。shinso の soft_threshold は負の値を受け付けない。

# %% [markdown]
# ## Exercise 6-3: learn steps and thresholds / 演習6-3 歩幅としきい値を学習する
#
# 20回分の $\beta_t$ と $\lambda_t$ を、合わせて40個の学習パラメータにします。最初から20回分を一度に学習すると勾配が消えやすいので、
# 1回分、2回分、…と回数 (世代) を増やしながら、世代ごとに50回ずつ Adam で更新します。
#
# 講義の学習率は、どちらも $10^{-4}$ でした。Adamの一歩の大きさはおよそ学習率なので、$\beta = 0.001$ は一歩で10%も動き、
# 負になることさえあります。ここでは $\beta_t$ を $2 \times 10^{-5}$、$\lambda_t$ を $10^{-3}$ とします。
# 学習前と学習後の誤差を、一回ごとにデシベルで比べてください。

# %%
# ここに書く

# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 6-3
steps = torch.full((ROUNDS,), BETA, requires_grad=True)
thresholds = torch.full((ROUNDS,), LAMBDA, requires_grad=True)
optimiser = torch.optim.Adam([{"params": [steps], "lr": 2e-5}, {"params": [thresholds], "lr": 1e-3}])
for rounds in (2, 8, 20) if SMOKE else range(1, ROUNDS + 1):
    for _ in range(15 if SMOKE else 50):
        truth, seen = signals(50)
        loss = (recover(seen, steps[:rounds], thresholds[:rounds])[-1] - truth).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        with torch.no_grad():
            thresholds.clamp_(min=0)


def decibels(course):
    return [10 * float(((estimate - x).square().sum() / x.square().sum()).log10()) for estimate in course]


with torch.no_grad():
    before = decibels(recover(y, [BETA] * ROUNDS, [LAMBDA] * ROUNDS))
    after = decibels(recover(y, steps, thresholds))
plt.plot(range(1, ROUNDS + 1), before, "o-", label="ISTA")
plt.plot(range(1, ROUNDS + 1), after, "o-", label="learned")
plt.xlabel("iteration")
plt.ylabel("error [dB]")
plt.legend()
plt.show()
plt.plot(range(1, ROUNDS + 1), steps.detach(), "o-")
plt.axhline(2 / problem.lipschitz, linestyle="--", color="grey", label="2 / L")
plt.xlabel("iteration")
plt.ylabel("learned step size")
plt.legend()
plt.show()
print(f"after 20 iterations: ISTA {before[-1]:.2f} dB, learned {after[-1]:.2f} dB")
assert after[-1] < before[-1]
assert float(thresholds.detach().min()) >= 0

# %% [markdown]
# ## What to remember / まとめ
#
# - 深層展開: 反復アルゴリズムの一回を一層とみなし、手で選んでいた数だけを学習する。パラメータは40個で足りる。
# - 学習した歩幅は一回ごとに違い、$2/L$ を超えるものもある。最悪の場合の保証を捨て、実際に現れる信号に合わせた結果である。
# - 学習しないISTAと、さらに速いFISTA: `shinso run sparse.ista --method fista`
