const D = JSON.parse(document.getElementById("numbers").textContent);
const T = JSON.parse(document.getElementById("words").textContent);
const { k, p, w, turned } = D.size;
const J = D.labels.length;
const Z = D.z; // of the intervals
const byId = (id) => document.getElementById(id);

/** Symmetric matrices from their upper triangles. */
function whole(upper) {
  const each = (w * (w + 1)) / 2,
    found = new Float64Array((upper.length / each) * w * w);
  let at = 0;
  for (let j = 0; j < found.length; j += w * w)
    for (let a = 0; a < w; a++)
      for (let c = a; c < w; c++)
        found[j + a * w + c] = found[j + c * w + a] = upper[at++];
  return found;
}
for (const one of [D, D.gone, D.left, D.usual]) if (one) one.S = whole(one.S);
for (const name of ["A", "F", "f", "s"]) D[name] = Float64Array.from(D[name]);

// --- algebra: Henderson's equations, levels eliminated one by one -----------------

const dot = (a, i, b, j, n) => {
  let sum = 0;
  for (let m = 0; m < n; m++) sum += a[i + m] * b[j + m];
  return sum;
};

/** Root of the covariance of a level's effects over sigma, in safe columns. */
function rootAt(sd) {
  const L = new Float64Array(k * k);
  for (let i = 0; i < k; i++)
    for (let c = 0; c < k; c++)
      for (let m = 0; m < k; m++) {
        const own = m === turned ? sd : D.sds[m];
        L[i * k + c] += (D.back[i * k + m] * own * D.root[m * k + c]) / D.sigma;
      }
  return L;
}

/** Lower Cholesky factor of an n x n matrix in place; its log determinant, or null. */
function cholesky(G, n) {
  let logDet = 0;
  for (let i = 0; i < n; i++) {
    for (let j = 0; j <= i; j++) {
      const left = G[i * n + j] - dot(G, i * n, G, j * n, j);
      if (i === j) {
        if (!(left > 1e-13 * Math.abs(G[i * n + i]))) return null;
        G[i * n + i] = Math.sqrt(left);
        logDet += Math.log(left);
      } else G[i * n + j] = left / G[j * n + j];
    }
  }
  return logDet;
}

const AL = new Float64Array(k * k),
  G = new Float64Array(k * k),
  X = new Float64Array(k * k);

/** H = L (I + L'AL)^-1 L' of the level at `from`; log det of the inner matrix. */
function gain(A, from, L, H, to) {
  for (let i = 0; i < k; i++)
    for (let c = 0; c < k; c++) {
      let sum = 0;
      for (let m = 0; m < k; m++) sum += A[from + i * k + m] * L[m * k + c];
      AL[i * k + c] = sum;
    }
  for (let a = 0; a < k; a++)
    for (let c = 0; c < k; c++) {
      let sum = a === c ? 1 : 0;
      for (let m = 0; m < k; m++) sum += L[m * k + a] * AL[m * k + c];
      G[a * k + c] = sum;
    }
  const logDet = cholesky(G, k);
  for (let i = 0; i < k; i++)
    for (let a = 0; a < k; a++) {
      let left = L[i * k + a];
      for (let m = 0; m < a; m++) left -= G[a * k + m] * X[i * k + m];
      X[i * k + a] = left / G[a * k + a];
    }
  for (let i = 0; i < k; i++)
    for (let c = 0; c < k; c++) H[to + i * k + c] = dot(X, i * k, X, c * k, k);
  return logDet;
}

/** What levels that are not on the page take off, a polynomial in sd / (sd + scale). */
function takeOffOthers(sd, S, s) {
  const m = D.left.count,
    u = sd / (sd + D.left.scale);
  const weights = [];
  let total = 0,
    exact = -1;
  for (let i = 0; i < m; i++) {
    const off = u - 0.5 * D.left.top * (1 - Math.cos((Math.PI * i) / (m - 1)));
    if (Math.abs(off) < 1e-15) exact = i;
    const half = i === 0 || i === m - 1 ? 0.5 : 1;
    weights.push(((i % 2 ? -1 : 1) * half) / off);
    total += weights[i];
  }
  for (let i = 0; i < m; i++) {
    const share = exact < 0 ? weights[i] / total : i === exact ? 1 : 0;
    if (!share) continue;
    for (let c = 0; c < w * w; c++) S[c] -= share * D.left.S[i * w * w + c];
    for (let c = 0; c < w; c++) s[c] -= share * D.left.s[i * w + c];
  }
}

const H = new Float64Array((J + 1) * k * k),
  slope = new Float64Array((J + 1) * k * w);

/** Take the effects of one level out of the equations of all else. */
function eliminate(j, level, from, L, S, s) {
  const logDet = gain(level.A, from * k * k, L, H, j * k * k);
  const F = from * k * w,
    at = j * k * w;
  for (let i = 0; i < k; i++)
    for (let c = 0; c < w; c++) {
      let sum = 0;
      for (let m = 0; m < k; m++)
        sum += H[j * k * k + i * k + m] * level.F[F + m * w + c];
      slope[at + i * w + c] = sum;
    }
  let quad = 0;
  for (let i = 0; i < k; i++) {
    for (let a = 0; a < w; a++) {
      const own = level.F[F + i * w + a];
      if (own) for (let c = 0; c < w; c++) S[a * w + c] -= own * slope[at + i * w + c];
      s[a] -= slope[at + i * w + a] * level.f[from * k + i];
    }
    quad += level.f[from * k + i] * dot(H, j * k * k + i * k, level.f, from * k, k);
  }
  return { logDet, quad };
}

/** Equations of all else at an SD, without a level, with a new one. */
function reduced(sd, dropped = -1, added = null) {
  const L = rootAt(sd),
    S = Float64Array.from(D.S),
    s = Float64Array.from(D.s);
  if (D.left) takeOffOthers(sd, S, s);
  for (let j = 0; j < J; j++) if (j !== dropped) eliminate(j, D, j, L, S, s);
  if (dropped >= 0) {
    for (let c = 0; c < w * w; c++) S[c] -= D.gone.S[dropped * w * w + c];
    for (let c = 0; c < w; c++) s[c] -= D.gone.s[dropped * w + c];
  }
  if (added) {
    for (let c = 0; c < w * w; c++) S[c] += added.S[c];
    for (let c = 0; c < w; c++) s[c] += added.s[c];
    eliminate(J, added, 0, L, S, s);
  }
  return { L, S, s };
}

/** Solution and covariance of the reduced equations; null if they are open. */
function solved(S, s) {
  const C = Float64Array.from(S),
    logDet = cholesky(C, w);
  if (logDet === null) return null;
  const R = new Float64Array(w * w); // inverse of the factor
  for (let c = 0; c < w; c++)
    for (let i = c; i < w; i++) {
      let left = i === c ? 1 : 0;
      for (let m = c; m < i; m++) left -= C[i * w + m] * R[m * w + c];
      R[i * w + c] = left / C[i * w + i];
    }
  const cov = new Float64Array(w * w),
    mean = new Float64Array(w);
  for (let a = 0; a < w; a++)
    for (let c = 0; c < w; c++)
      for (let m = Math.max(a, c); m < w; m++)
        cov[a * w + c] += R[m * w + a] * R[m * w + c];
  for (let a = 0; a < w; a++) mean[a] = dot(cov, a * w, s, 0, w);
  return { mean, cov, logDet, quad: dot(mean, 0, s, 0, w) };
}

/** Variance of a row of coefficients of all else. */
function variance(row, from, cov) {
  let sum = 0;
  for (let a = 0; a < w; a++) sum += row[from + a] * dot(cov, a * w, row, from, w);
  return Math.max(sum, 0);
}

/** All estimates at an SD: of fixed effects, of the centre, of every level. */
function estimates(sd, dropped = -1, added = null) {
  const { S, s } = reduced(sd, dropped, added),
    found = solved(S, s);
  if (found === null) return null;
  const { mean, cov } = found,
    n = J + (added ? 1 : 0);
  const beta = [],
    betaSe = [],
    center = [],
    row = new Float64Array(w);
  for (let a = 0; a < p; a++) {
    beta.push(D.beta0[a] + dot(D.fixed, a * w, mean, 0, w));
    betaSe.push(D.scale * Math.sqrt(variance(D.fixed, a * w, cov)));
  }
  for (let i = 0; i < k; i++)
    center.push(D.origin[i] + dot(D.center, i * w, mean, 0, w));
  const centerSe = D.scale * Math.sqrt(variance(D.center, turned * w, cov));
  const coef = new Float64Array(n * k),
    se = new Float64Array(n),
    pooling = new Float64Array(n);
  const b = new Float64Array(k);
  for (let j = 0; j < n; j++) {
    if (j === dropped) {
      coef.set(center, j * k);
      se[j] = Math.hypot(sd, centerSe);
      pooling[j] = 1;
      continue;
    }
    const level = j < J ? D : added,
      from = j < J ? j : 0;
    for (let i = 0; i < k; i++)
      b[i] =
        dot(H, j * k * k + i * k, level.f, from * k, k) -
        dot(slope, (j * k + i) * w, mean, 0, w);
    for (let i = 0; i < k; i++)
      coef[j * k + i] = center[i] + dot(D.spread, i * k, b, 0, k);
    let given = 0;
    for (let i = 0; i < k; i++)
      given +=
        D.spread[turned * k + i] * dot(H, j * k * k + i * k, D.spread, turned * k, k);
    for (let c = 0; c < w; c++) {
      row[c] = D.center[turned * w + c];
      for (let i = 0; i < k; i++)
        row[c] -= D.spread[turned * k + i] * slope[(j * k + i) * w + c];
    }
    se[j] = D.scale * Math.sqrt(given + variance(row, 0, cov));
    pooling[j] = sd > 0 ? (given * D.scale * D.scale) / (sd * sd) : 1;
  }
  return { beta, betaSe, center, centerSe, coef, se, pooling, mean };
}

/** A new level of n usual rows whose own estimate of the effect is `value`. */
function newLevel(n, value) {
  const start = state.start,
    b = new Float64Array(k),
    f = new Float64Array(k),
    s = new Float64Array(w);
  const own = new Float64Array(w);
  own.set(start.mean.subarray(0, p)); // other grouping factors have no part in it
  const away = value - start.center[turned];
  for (let i = 0; i < k; i++) b[i] = D.unspread[i * k + turned] * away;
  for (let i = 0; i < k; i++)
    f[i] = n * (dot(D.usual.F, i * w, own, 0, w) + dot(D.usual.A, i * k, b, 0, k));
  for (let a = 0; a < w; a++) {
    s[a] = dot(D.usual.S, a * w, own, 0, w);
    for (let i = 0; i < k; i++) s[a] += D.usual.F[i * w + a] * b[i];
    s[a] *= n;
  }
  const times = (values) => Float64Array.from(values, (v) => n * v);
  return { A: times(D.usual.A), F: times(D.usual.F), f, S: times(D.usual.S), s };
}

// --- the posterior of the SD ------------------------------------------------------

/** Log density of the prior, its scale times `by`. */
function logPrior(sd, by) {
  const { kind, a, b, constant } = D.curve.prior;
  const x = sd / by,
    shift = constant - Math.log(by);
  if (kind === "half_normal") return shift - 0.5 * (x / b) ** 2;
  if (kind === "half_t") return shift - 0.5 * (a + 1) * Math.log1p((x / b) ** 2 / a);
  if (kind === "gamma") return shift + (a - 1) * Math.log(x) - b * x;
  if (kind === "inverse_gamma") return shift - (a + 1) * Math.log(x) - b / x;
  if (kind === "log_normal")
    return shift - Math.log(x) - 0.5 * ((Math.log(x) - a) / b) ** 2;
  return constant;
}

const grid = D.curve
  ? D.curve.logDensity.map((_, i) => Math.exp(D.curve.start + i * D.curve.step))
  : [];

/** A curve on even nodes, cubic between four of them, straight beyond the ends. */
function onNodes(values, start, step, x) {
  const last = values.length - 1,
    at = (x - start) / step;
  if (at < 0) return values[0] + at * (values[1] - values[0]);
  if (at > last) return values[last] + (at - last) * (values[last] - values[last - 1]);
  const i = Math.min(Math.max(Math.floor(at) - 1, 0), last - 3);
  let sum = 0;
  for (let a = i; a < i + 4; a++) {
    let weight = 1;
    for (let b = i; b < i + 4; b++) if (b !== a) weight *= (at - b) / (a - b);
    sum += weight * values[a];
  }
  return sum;
}

/** What the log posterior of the SD changes by without a level, on the grid. */
function withoutLevel(dropped) {
  const exact = D.curve.without;
  if (!exact) return withoutAtFit(dropped);
  const own = exact.change[dropped];
  if (own === null) return grid.map(() => NaN);
  return grid.map((sd) => onNodes(own, exact.start, exact.step, Math.log(sd)));
}

/** The same by the likelihood, sigma and all other SDs held. */
function withoutAtFit(dropped) {
  return grid.map((sd) => {
    const whole = reduced(sd),
      all = solved(whole.S, whole.s);
    const Sd = whole.S,
      sdd = whole.s;
    const at = dropped * k * k,
      F = dropped * k * w,
      f = dropped * k;
    const own = { logDet: gain(D.A, at, whole.L, H, at), quad: 0 };
    for (let i = 0; i < k; i++) {
      own.quad += D.f[f + i] * dot(H, at + i * k, D.f, f, k);
      for (let a = 0; a < w; a++) {
        for (let c = 0; c < w; c++)
          Sd[a * w + c] += D.F[F + i * w + a] * slope[(dropped * k + i) * w + c];
        sdd[a] += slope[(dropped * k + i) * w + a] * D.f[f + i];
      }
    }
    for (let c = 0; c < w * w; c++) Sd[c] -= D.gone.S[dropped * w * w + c];
    for (let c = 0; c < w; c++) sdd[c] -= D.gone.s[dropped * w + c];
    const rest = solved(Sd, sdd);
    if (all === null || rest === null) return NaN;
    const quads = (all.quad - rest.quad + own.quad) / (D.scale * D.scale);
    return 0.5 * (own.logDet + all.logDet - rest.logDet - quads);
  });
}

/** Density of the SD on the grid under another scale of its prior, without a level. */
function density(by, without) {
  const start = D.curve.logDensity;
  const turn = grid.map((sd, i) => {
    const other = D.curve.prior ? logPrior(sd, by) - logPrior(sd, 1) : 0;
    return (by === 1 ? 0 : other) + (without ? without[i] : 0);
  });
  const before = start.map((v, i) => Math.exp(v) * grid[i]);
  const logs = start.map((v, i) => v + turn[i]);
  const peak = Math.max(...logs.map((v, i) => v + Math.log(grid[i])));
  const after = logs.map((v, i) => Math.exp(v + Math.log(grid[i]) - peak));
  const area = (values) =>
    values.reduce((sum, v, i) => sum + (i && i < values.length - 1 ? v : 0.5 * v), 0);
  const unturned = by === 1 && !without;
  const norm = unturned ? 0 : Math.log(area(before)) - Math.log(area(after)) - peak;
  return logs.map((v) => Math.exp(v + norm));
}

/** Quantiles of the SD of a density on the grid. */
function quantiles(values, probabilities) {
  const mass = values.map((v, i) => v * grid[i]),
    below = [0];
  for (let i = 1; i < mass.length; i++)
    below.push(below[i - 1] + 0.5 * (mass[i] + mass[i - 1]));
  const total = below[below.length - 1];
  return probabilities.map((q) => {
    let i = 1;
    while (i < below.length - 1 && below[i] < q * total) i++;
    const share = (q * total - below[i - 1]) / (below[i] - below[i - 1]);
    return Math.exp(
      D.curve.start + D.curve.step * (i - 1 + Math.min(Math.max(share, 0), 1)),
    );
  });
}
