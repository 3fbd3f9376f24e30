// --- what is shown ----------------------------------------------------------------

const STEPS = 1000; // of the slider, even in sd / (sd + scale)
const sdOf = (step) => (D.dial.scale * step) / (STEPS - step);
const stepOf = (sd) => Math.min((STEPS * sd) / (sd + D.dial.scale), D.dial.last);
const svgNames = "http://www.w3.org/2000/svg";

function draw(parent, kind, attributes) {
  const own = document.createElementNS(svgNames, kind);
  for (const [name, one] of Object.entries(attributes)) own.setAttribute(name, one);
  parent.append(own);
  return own;
}
const fixed = (v) => v.toFixed(1);
const dots = (points) => points.map(([x, y]) => `M${fixed(x)} ${fixed(y)}h0`).join("");
const line = (points) =>
  points.map(([x, y], i) => `${i ? "L" : "M"}${fixed(x)} ${fixed(y)}`).join("");

/** Round values that an axis names. */
function ticks(low, high, most) {
  const raw = (high - low) / most,
    power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((m) => m * power >= raw);
  const found = [];
  for (let i = Math.ceil(low / step); i * step <= high; i++) found.push(i * step);
  return { at: found, decimals: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
}

const BELOW = 54; // pixels of an axis with its name

/** An axis below a figure, from its range to its pixels. */
function axis(svg, low, high, left, right, y, label) {
  const scale = (v) => left + ((v - low) / (high - low)) * (right - left);
  draw(svg, "path", { class: "frame", d: `M${left} ${y}H${right}` });
  const { at, decimals } = ticks(low, high, right - left < 300 ? 4 : 7);
  for (const v of at) {
    draw(svg, "path", { class: "frame", d: `M${fixed(scale(v))} ${y}v4` });
    draw(svg, "text", {
      class: "tick",
      x: fixed(scale(v)),
      y: y + 16,
      "text-anchor": "middle",
    }).textContent = number(v, decimals);
  }
  const middle = { class: "name", x: 0.5 * (right + 12), "text-anchor": "middle" };
  const name = draw(svg, "text", { ...middle, y: y + 33 });
  name.textContent = label;
  if (name.getComputedTextLength() > right) {
    const at = label.lastIndexOf(" ("); // units on a line of their own
    name.textContent = label.slice(0, at);
    draw(svg, "text", { ...middle, y: y + 48 }).textContent = label.slice(at + 1);
  }
  return scale;
}

function empty(id, height) {
  const svg = byId(id),
    width = Math.max(svg.parentElement.clientWidth, 240);
  svg.replaceChildren();
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("height", height);
  return { svg, width };
}

// Levels in the order of their own estimates.
const order = D.labels
  .map((_, j) => j)
  .sort((a, b) => {
    const [x, y] = [D.own[a], D.own[b]];
    return x === null ? (y === null ? a - b : 1) : y === null ? -1 : x - y;
  });
const place = [];
order.forEach((j, i) => {
  place[j] = i;
});

const levels = {}; // the figure of all levels
function drawLevels() {
  const named = J <= 40,
    each = named ? 19 : Math.max(3, 560 / J),
    top = 8;
  const bottom = top + each * (J + 2),
    { svg, width } = empty("levels", bottom + BELOW);
  const letters = Math.max(...D.labels.map((label) => [...label].length));
  const left = named ? Math.min(150, width * 0.28, 24 + 8 * letters) : 14;
  const known = D.own.filter((v) => v !== null).sort((a, b) => a - b);
  const start = state.start,
    reach = D.labels.flatMap((_, j) =>
      [-1, 1].map((d) => start.coef[j * k + turned] + d * Z * start.se[j]),
    );
  let [low, high] = [Math.min(...reach), Math.max(...reach)];
  const most = 0.5 * (high - low); // a level that says little lies far off
  low = Math.min(low, Math.max(known[0] ?? low, low - most));
  high = Math.max(high, Math.min(known[known.length - 1] ?? high, high + most));
  const beyond = known.filter((v) => v < low || v > high).length;
  byId("beyond").textContent = beyond
    ? `Own estimates that lie further off are at the edge: ${beyond} of ${known.length}.`
    : "";
  const room = 0.03 * (high - low || 1);
  low -= room;
  high += room;
  const x = axis(svg, low, high, left, width - 12, bottom, D.names.axis);
  const inside = (v) => Math.min(Math.max(x(v), left), width - 8);
  const y = (j) => top + each * (place[j] + 0.5),
    small = named ? 4 : Math.max(1.5, each * 0.4);
  if (named)
    for (const j of order) {
      const label = draw(svg, "text", {
        class: "level",
        x: left - 8,
        y: y(j) + 4,
        "text-anchor": "end",
        "data-j": j,
      });
      label.textContent = D.labels[j];
      narrowed(label, left - 12);
      draw(label, "title", {}).textContent = D.full[j] || D.labels[j];
    }
  Object.assign(levels, { x: inside, y, bottom, each, top });
  levels.center = draw(svg, "path", { class: "center" });
  const thin = named ? 1.5 : Math.min(1, 0.35 * each);
  levels.interval = draw(svg, "path", { class: "interval", "stroke-width": thin });
  levels.moved = draw(svg, "path", { class: "moved", "stroke-width": thin });
  draw(svg, "path", {
    class: "own",
    "stroke-width": 0.9,
    d: D.own
      .map((v, j) =>
        v === null
          ? ""
          : `M${fixed(inside(v) - small)} ${fixed(y(j))}a${small} ${small} 0 1 0 ${2 * small} 0a${small} ${small} 0 1 0 ${-2 * small} 0`,
      )
      .join(""),
  });
  levels.partial = draw(svg, "path", {
    class: "partial",
    "stroke-width": 2 * small + 0.5,
  });
  levels.chosen = draw(svg, "path", { class: "chosen", "stroke-width": 2 * small + 3 });
  levels.added = draw(svg, "path", { class: "added", "stroke-width": 2 * small + 3 });
  levels.note = draw(svg, "text", {
    class: "level",
    x: left - 8,
    "text-anchor": "end",
  });
}
/** A label no wider than so many pixels, its middle left out. */
function narrowed(label, width) {
  const all = [...label.textContent];
  for (
    let kept = all.length - 1;
    kept > 3 && label.getComputedTextLength() > width;
    kept--
  ) {
    const half = kept >> 1;
    label.textContent = `${all.slice(0, half).join("")}…${all.slice(all.length - half).join("")}`;
  }
}

function showLevels(found) {
  const { x, y, top, bottom, each } = levels,
    at = x(found.center[turned]);
  const partial = [],
    moved = [],
    interval = [];
  for (let j = 0; j < J; j++) {
    const own = found.coef[j * k + turned],
      reach = Z * found.se[j],
      here = fixed(y(j));
    if (j !== state.dropped) partial.push([x(own), y(j)]);
    if (D.own[j] !== null)
      moved.push(`M${fixed(x(D.own[j]))} ${here}H${fixed(x(own))}`);
    interval.push(`M${fixed(x(own - reach))} ${here}H${fixed(x(own + reach))}`);
  }
  levels.center.setAttribute("d", `M${fixed(at)} ${top}V${bottom}`);
  levels.partial.setAttribute("d", dots(partial));
  levels.moved.setAttribute("d", moved.join(""));
  levels.interval.setAttribute("d", interval.join(""));
  const j = state.level;
  levels.chosen.setAttribute("d", dots([[x(found.coef[j * k + turned]), y(j)]]));
  const added = found.coef.length > J * k,
    last = bottom - 0.8 * Math.max(each, 8);
  if (added) {
    const own = found.coef[J * k + turned],
      reach = Z * found.se[J];
    levels.added.setAttribute(
      "d",
      `M${fixed(x(own - reach))} ${fixed(last)}H${fixed(x(own + reach))}${dots([[x(own), last]])}`,
    );
  } else levels.added.setAttribute("d", "");
  levels.note.setAttribute("y", last + 4);
  levels.note.textContent = added ? "new" : "";
}

const panels = []; // small pictures of rows and lines
function drawPanels() {
  if (!D.panels) return;
  const box = byId("panels"),
    chosen = state.level;
  box.replaceChildren();
  for (const [name, most] of [
    ["--columns", 6],
    ["--few", 3],
  ])
    box.style.setProperty(name, Math.min(J, most));
  panels.length = 0;
  const shown = D.panels.first.includes(chosen)
    ? D.panels.first
    : [chosen, ...D.panels.first.slice(0, -1)];
  const [x0, x1] = D.panels.x,
    [y0, y1] = D.panels.y,
    width = 160,
    height = 104;
  const x = (v) => 6 + ((v - x0) / (x1 - x0 || 1)) * (width - 12);
  const y = (v) =>
    Math.min(
      Math.max(height - 6 - ((v - y0) / (y1 - y0 || 1)) * (height - 12), -height),
      2 * height,
    );
  for (const j of shown) {
    const own = D.panels.levels[j],
      one = document.createElement("div"),
      name = document.createElement("p");
    one.className = j === chosen ? "panel chosen-panel" : "panel";
    name.append(
      Object.assign(document.createElement("bdi"), {
        textContent: D.labels[j],
        title: D.full[j] || D.labels[j],
      }),
      ` (n = ${D.n[j].toLocaleString("en")})`,
    );
    const svg = draw(one, "svg", {
      viewBox: `0 0 ${width} ${height}`,
      "aria-hidden": "true",
    });
    one.prepend(name);
    draw(svg, "path", {
      class: "points",
      d: dots(own.x.map((v, i) => [x(v), y(own.y[i])])),
    });
    const at = (coef, from) =>
      line(
        own.line.x.map((v, i) => [
          x(v),
          y(own.line.rest[i] + dot(own.line.Z, i * k, coef, from, k)),
        ]),
      );
    panels.push({
      j,
      at,
      pooled: draw(svg, "path", { class: "pooled" }),
      partial: draw(svg, "path", { class: "fitted" }),
    });
    box.append(one);
  }
}
function showPanels(found) {
  for (const one of panels) {
    one.pooled.setAttribute("d", one.at(found.center, 0));
    one.partial.setAttribute("d", one.at(found.coef, one.j * k));
  }
}

const curve = {};
function drawCurve() {
  if (!D.curve) return;
  const height = 190,
    { svg, width } = empty("curve", height + BELOW),
    left = 12;
  const x = axis(svg, 0, D.curve.high, left, width - 12, height, D.names.sd);
  const places = grid.map((sd, i) => i).filter((i) => grid[i] <= D.curve.high);
  Object.assign(curve, { x, height, places });
  curve.own = draw(svg, "path", { class: "before" });
  curve.posterior = draw(svg, "path", { class: "posterior" });
  curve.top = draw(svg, "path", { class: "posterior-line" });
  curve.prior = draw(svg, "path", { class: "prior" });
  curve.here = draw(svg, "path", { class: "here" });
}

let without = null; // of the level that is left out
function showCurve() {
  if (!D.curve) return;
  const now = density(state.by, without),
    before = density(1, null),
    { x, height, places } = curve;
  const prior = D.curve.prior
    ? grid.map((sd) => Math.exp(logPrior(sd, state.by)))
    : null;
  const top = Math.max(...places.map((i) => Math.max(now[i], before[i])));
  const y = (v) => height - Math.min(v / top, 1.15) * (height - 26);
  const even = Array.from({ length: 101 }, (_, i) => (D.curve.high * (i + 0.5)) / 101);
  const path = (values) => line(places.map((i) => [x(grid[i]), y(values[i])]));
  const ends = [x(grid[places[0]]), x(grid[places[places.length - 1]])];
  curve.own.setAttribute("d", path(before));
  curve.posterior.setAttribute(
    "d",
    `${path(now)}L${fixed(ends[1])} ${height}L${fixed(ends[0])} ${height}Z`,
  );
  curve.top.setAttribute("d", path(now));
  curve.prior.setAttribute(
    "d",
    prior ? line(even.map((sd) => [x(sd), y(Math.exp(logPrior(sd, state.by)))])) : "",
  );
  state.density = now;
  const tail = 0.5 * (1 - D.prob),
    [median, low, high] = quantiles(now, [0.5, tail, 1 - tail]);
  state.median = median;
  say(
    "curve-said",
    "Posterior median ",
    told(median, size(median)),
    `, ${D.percent} interval `,
    told(low, size(low)),
    " to ",
    told(high, size(high)),
    state.by === 1 ? "" : ` with a prior ${size(state.by)} times as wide`,
    !without ? "." : ", without ",
    ...(!without ? [] : [level(state.dropped), "."]),
  );
  if (byId("curve-numbers").parentElement.open) fillCurve(now, prior);
}
