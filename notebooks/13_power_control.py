# %% [markdown]
# # 13. Learned power control / 送信電力の制御を学習する
#
# 5組の送信機と受信機が同じ周波数を使い、互いに干渉します。全員の信号対干渉雑音比 (SINR) を $\gamma$ 以上に保ちながら、
# 送信電力の合計を最小にしたい。厳密な解法を「先生」にして、ニューラルネットワークに答えをまねさせます。
#
# 講義は幾何計画のソルバー (cvxpy) を先生にしました。ここでは、もっと簡単な**不動点反復**と、scipyの線形計画で足ります。

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
from scipy.optimize import linprog
from torch import nn

SMOKE = os.environ.get("SHINSO_NOTEBOOKS") == "smoke"  # 自動試験では小さく動かす

# %% [markdown]
# ## The problem / 問題
#
# $G_{ik}$ は送信機 $k$ から受信機 $i$ への利得、$\sigma_i$ は受信機 $i$ の雑音です。
#
# $$\min \sum_i p_i \quad\text{s.t.}\quad
# \frac{G_{ii}p_i}{\sigma_i + \sum_{k\ne i}G_{ik}p_k} \ge \gamma,\quad p_{\min} \le p_i \le p_{\max}$$

# %%
LINKS, SINR, LEAST, MOST = 5, 1.5, 0.1, 5.0
rng = np.random.default_rng(0)
G = rng.uniform(0.02, 0.15, size=(LINKS, LINKS))
np.fill_diagonal(G, rng.uniform(0.8, 1.2, size=LINKS))
OWN, CROSS = np.diag(G), G - np.diag(np.diag(G))


def quality(p, noise):
    """SINR。p, noise: (..., 5)。"""
    return OWN * p / (noise + p @ CROSS.T)


# %% [markdown]
# ## Exercise 1: a fixed point / 演習1 不動点
#
# SINRの条件を $p_i$ について解くと、次の写像になります。
#
# $$p_i \leftarrow \max\Bigl(p_{\min},\ \gamma\,\frac{\sigma_i + \sum_{k\ne i}G_{ik}p_k}{G_{ii}}\Bigr)$$
#
# 小さい電力から始めて繰り返し、線形計画 `scipy.optimize.linprog` の解と $10^{-6}$ まで一致することを確かめてください。
# (条件の分母を払うと、$p$ について線形です。)

# %%
# ここに書く


# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 1
def fixed_point(noise, rounds=200):
    """最小の電力 (..., 5)。干渉が大きすぎて p_max を超える場合は、解がない。"""
    p = np.full(noise.shape, LEAST)
    for _ in range(rounds):
        p = np.maximum(LEAST, SINR * (noise + p @ CROSS.T) / OWN)
    return p


def programme(noise):
    """min Σp, γ Σ_k G_ik p_k - G_ii p_i <= -γ σ_i"""
    found = linprog(np.ones(LINKS), A_ub=SINR * CROSS - np.diag(OWN), b_ub=-SINR * noise, bounds=(LEAST, MOST))
    assert found.success
    return found.x


radius = np.abs(np.linalg.eigvals(SINR * CROSS / OWN[:, None])).max()
print(f"spectral radius {radius:.3f}")
assert radius < 1  # 1 未満なら反復は縮小していき、解がある
noises = rng.uniform(0.01, 0.6, size=(20, LINKS))
for noise in noises:
    p = fixed_point(noise)
    assert np.abs(p - programme(noise)).max() < 1e-6
    assert (quality(p, noise) >= SINR - 1e-9).all() and (p <= MOST).all()
print("powers", p.round(4), "SINR", quality(p, noise).round(4))

# %% [markdown]
# ## Exercise 2: what the code summed / 演習2 何を足していたか
#
# 講義のコードは、干渉を $\sum_k G_{ik}p_k$ ではなく `G[i,k]*p` (**ベクトル全体**) の和で書いていました。
# すると $i$ の条件は $j = 1,\dots,5$ のすべての $p_j$ について $G_{ii}p_i \ge \gamma(\sigma_i + \sum_{k\ne i}G_{ik}\,p_j)$ となります。
# 答えはどう変わりますか。

# %%
# ここに書く


# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 2
def overstated(noise, rounds=500):
    p = np.full(noise.shape, LEAST)
    for _ in range(rounds):
        p = np.maximum(LEAST, SINR * (noise + CROSS.sum(1) * p.max(-1, keepdims=True)) / OWN)
    return p


right, wrong = fixed_point(noises), overstated(noises)
print(f"mean total power: right {right.sum(1).mean():.4f}, as coded {wrong.sum(1).mean():.4f}")
assert (wrong >= right - 1e-12).all() and wrong.sum() > 1.02 * right.sum()  # 干渉を多く見積もり、電力を使いすぎる
assert quality(wrong, noises).min() > SINR - 1e-9

# %% [markdown]
# ## Exercise 3: imitate the solver / 演習3 先生をまねる
#
# 雑音 $\sigma$ (5個) から電力 (5個) を答える 5-100-100-5 のネットワークを学習してください。講義のコードは「バッチサイズ5」と
# 書きながら、一ステップに一例しか使っていません。ここでは一度に50例使います。
#
# 「いつも平均の電力を答える」だけの予測器と必ず比べてください。条件がゆるい ($\gamma$ が小さい) と、ほとんどの答えが $p_{\min}$ になり、
# 何も学ばなくても良く見えるからです。

# %%
# ここに書く

# %% {"jupyter": {"source_hidden": true}, "cellView": "form"}
# @title 解答 3


def examples(count):
    noise = rng.uniform(0.01, 0.6, size=(count, LINKS))
    return noise, fixed_point(noise, rounds=60)


torch.manual_seed(0)
network = nn.Sequential(nn.Linear(LINKS, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, LINKS))
optimiser = torch.optim.Adam(network.parameters(), lr=0.001)
losses = []
for _ in range(200 if SMOKE else 2000):
    noise, power = (torch.tensor(part, dtype=torch.float32) for part in examples(50))
    loss = (network(noise) - power).square().mean()
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    losses.append(loss.item())
noise, power = examples(2000)
with torch.no_grad():
    answer = network(torch.tensor(noise, dtype=torch.float32)).double().numpy()
learned, constant = np.square(answer - power).mean(), power.var(0).mean()
print(f"share at the smallest power: {(power == LEAST).mean():.3f}")
print(f"mean squared error: network {learned:.2e}, the mean power for all {constant:.2e}")
plt.semilogy(losses, linewidth=0.5)
plt.axhline(constant, color="black", linestyle="--", label="constant answer")
plt.xlabel("step")
plt.ylabel("squared error")
plt.legend()
plt.show()
assert (power == LEAST).mean() < 0.5
assert learned < (0.1 if SMOKE else 0.01) * constant

# まねただけの答えは、ほとんどの場合、どれかの条件をわずかに破る。そこから写像を繰り返せば、条件を満たす解に着く
kept = (quality(answer, noise) >= SINR - 1e-3).all(1).mean()
p = answer
for _ in range(60):
    p = np.maximum(LEAST, SINR * (noise + p @ CROSS.T) / OWN)
repaired = (quality(p, noise) >= SINR - 1e-9).all(1).mean()
print(f"all five links good enough: network {kept:.1%}, after the map {repaired:.1%}")
assert repaired == 1

# %% [markdown]
# ## What to remember / まとめ
#
# - 先生がいつでも正解をくれる問題は、学習の練習に向く。ただし、先生が正しい問題を解いているかを先に確かめる。
# - ネットワークは速いが、条件を保証しない。保証は、あとから加える一手間 (射影・反復) が与える。
# - 誤差は、何も学ばない予測器の誤差と並べて初めて意味を持つ。
