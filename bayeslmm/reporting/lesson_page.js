  // --- what is shown ----------------------------------------------------------------

  const state = { sd: 0, by: 1, level: 0, dropped: -1, n: 0, value: 0, start: null };
  const STEPS = 1000; // of the slider, even in sd / (sd + scale)
  const sdOf = (step) => (D.dial.scale * step) / (STEPS - step);
  const stepOf = (sd) => Math.min((STEPS * sd) / (sd + D.dial.scale), D.dial.last);
  const svgNames = "http://www.w3.org/2000/svg";

  const number = (v, decimals) => {
    if (v === null || Number.isNaN(v)) return "–";
    const text = v.toFixed(Math.max(decimals, 0));
    return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "−");
  };
  const value = (v) => number(v, D.digits);
  const size = (v) => number(v, v > 0 ? Math.max(0, 2 - Math.floor(Math.log10(v))) : 0);
  const percent = (v) => `${v > 0 && v < 0.01 ? "under 1" : v > 0.99 && v < 1 ? "over 99" : number(100 * v, 0)}%`;
  const between = (middle, se) => `${value(middle - Z * se)} to ${value(middle + Z * se)}`;

  /** Text with numbers in it; each has its exact value. */
  function say(id, ...parts) {
    byId(id).replaceChildren(
      ...parts.map((part) => {
        if (typeof part === "string") return document.createTextNode(part);
        const own = document.createElement(part.name ? "bdi" : "data");
        if (part.name) own.title = part.full;
        else own.value = part.exact;
        own.textContent = part.text;
        return own;
      }),
    );
  }
  const told = (exact, text = value(exact)) => ({ exact: String(exact), text });
  const level = (j) => ({ name: true, text: D.labels[j], full: D.full[j] || D.labels[j] });

  function draw(parent, kind, attributes) {
    const own = document.createElementNS(svgNames, kind);
    for (const [name, one] of Object.entries(attributes)) own.setAttribute(name, one);
    parent.append(own);
    return own;
  }
  const fixed = (v) => v.toFixed(1);
  const dots = (points) => points.map(([x, y]) => `M${fixed(x)} ${fixed(y)}h0`).join("");
  const line = (points) => points.map(([x, y], i) => `${i ? "L" : "M"}${fixed(x)} ${fixed(y)}`).join("");

  /** Round values that an axis names. */
  function ticks(low, high, most) {
    const raw = (high - low) / most, power = 10 ** Math.floor(Math.log10(raw));
    const step = power * [1, 2, 5, 10].find((m) => m * power >= raw);
    const found = [];
    for (let i = Math.ceil(low / step); i * step <= high; i++) found.push(i * step);
    return { at: found, decimals: Math.max(0, -Math.floor(Math.log10(step) + 1e-9)) };
  }

  /** An axis below a figure, from its range to its pixels. */
  function axis(svg, low, high, left, right, y, label) {
    const scale = (v) => left + ((v - low) / (high - low)) * (right - left);
    draw(svg, "path", { class: "frame", d: `M${left} ${y}H${right}` });
    const { at, decimals } = ticks(low, high, right - left < 300 ? 4 : 7);
    for (const v of at) {
      draw(svg, "path", { class: "frame", d: `M${fixed(scale(v))} ${y}v4` });
      draw(svg, "text", { class: "tick", x: fixed(scale(v)), y: y + 16, "text-anchor": "middle" }).textContent = number(v, decimals);
    }
    draw(svg, "text", { class: "name", x: (left + right) / 2, y: y + 33, "text-anchor": "middle" }).textContent = label;
    return scale;
  }

  function empty(id, height) {
    const svg = byId(id), width = Math.max(svg.parentElement.clientWidth, 240);
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("height", height);
    return { svg, width };
  }

  // Levels in the order of their own estimates.
  const order = D.labels.map((_, j) => j).sort((a, b) => {
    const [x, y] = [D.own[a], D.own[b]];
    return x === null ? (y === null ? a - b : 1) : y === null ? -1 : x - y;
  });
  const place = [];
  order.forEach((j, i) => { place[j] = i; });

  const levels = {}; // the figure of all levels
  function drawLevels() {
    const named = J <= 40, each = named ? 19 : Math.max(3, 560 / J), top = 8;
    const bottom = top + each * (J + 2), { svg, width } = empty("levels", bottom + 42);
    const left = named ? Math.min(150, width * 0.28) : 14;
    const known = D.own.filter((v) => v !== null).sort((a, b) => a - b);
    const start = state.start, reach = D.labels.flatMap((_, j) => [-1, 1].map((d) => start.coef[j * k + turned] + d * Z * start.se[j]));
    let [low, high] = [Math.min(...reach), Math.max(...reach)];
    const most = 2 * (high - low); // a level that says little lies far off
    low = Math.min(low, Math.max(known[0] ?? low, low - most));
    high = Math.max(high, Math.min(known[known.length - 1] ?? high, high + most));
    const room = 0.03 * (high - low || 1);
    low -= room; high += room;
    const x = axis(svg, low, high, left, width - 12, bottom, D.names.axis);
    const inside = (v) => Math.min(Math.max(x(v), left), width - 8);
    const y = (j) => top + each * (place[j] + 0.5), small = named ? 4 : Math.max(1.5, each * 0.4);
    if (named)
      for (const j of order) {
        const label = draw(svg, "text", { class: "level", x: left - 8, y: y(j) + 4, "text-anchor": "end", "data-j": j });
        label.textContent = fitted(D.labels[j], left - 10);
        draw(label, "title", {}).textContent = D.full[j] || D.labels[j];
      }
    Object.assign(levels, { x: inside, y, bottom, each, top });
    levels.center = draw(svg, "path", { class: "center" });
    levels.moved = draw(svg, "path", { class: "moved" });
    levels.interval = draw(svg, "path", { class: "interval" });
    draw(svg, "path", { class: "own", "stroke-width": 0.9, d: D.own.map((v, j) => v === null ? "" : `M${fixed(inside(v) - small)} ${fixed(y(j))}a${small} ${small} 0 1 0 ${2 * small} 0a${small} ${small} 0 1 0 ${-2 * small} 0`).join("") });
    levels.partial = draw(svg, "path", { class: "partial", "stroke-width": 2 * small + 0.5 });
    levels.chosen = draw(svg, "path", { class: "chosen", "stroke-width": 2 * small + 3 });
    levels.added = draw(svg, "path", { class: "added", "stroke-width": 2 * small + 3 });
    levels.note = draw(svg, "text", { class: "level", x: left - 8, "text-anchor": "end" });
  }
  const fitted = (text, width) => {
    const letters = Math.max(4, Math.floor(width / 6.6)), all = [...text];
    if (all.length <= letters) return text;
    const half = Math.floor((letters - 1) / 2);
    return `${all.slice(0, half).join("")}…${all.slice(all.length - half).join("")}`;
  };

  function showLevels(found) {
    const { x, y, top, bottom, each } = levels, at = x(found.center[turned]);
    const partial = [], moved = [], interval = [];
    for (let j = 0; j < J; j++) {
      const own = found.coef[j * k + turned], reach = Z * found.se[j], here = fixed(y(j));
      if (j !== state.dropped) partial.push([x(own), y(j)]);
      if (D.own[j] !== null) moved.push(`M${fixed(x(D.own[j]))} ${here}H${fixed(x(own))}`);
      interval.push(`M${fixed(x(own - reach))} ${here}H${fixed(x(own + reach))}`);
    }
    levels.center.setAttribute("d", `M${fixed(at)} ${top}V${bottom}`);
    levels.partial.setAttribute("d", dots(partial));
    levels.moved.setAttribute("d", moved.join(""));
    levels.interval.setAttribute("d", interval.join(""));
    const j = state.level;
    levels.chosen.setAttribute("d", dots([[x(found.coef[j * k + turned]), y(j)]]));
    const added = found.coef.length > J * k, last = bottom - 0.8 * Math.max(each, 8);
    if (added) {
      const own = found.coef[J * k + turned], reach = Z * found.se[J];
      levels.added.setAttribute("d", `M${fixed(x(own - reach))} ${fixed(last)}H${fixed(x(own + reach))}${dots([[x(own), last]])}`);
    } else levels.added.setAttribute("d", "");
    levels.note.setAttribute("y", last + 4);
    levels.note.textContent = added ? "new" : "";
  }

  const panels = []; // small pictures of rows and lines
  function drawPanels() {
    if (!D.panels) return;
    const box = byId("panels"), chosen = state.level;
    box.replaceChildren();
    panels.length = 0;
    const shown = D.panels.first.includes(chosen) ? D.panels.first : [chosen, ...D.panels.first.slice(0, -1)];
    const [x0, x1] = D.panels.x, [y0, y1] = D.panels.y, width = 160, height = 104;
    const x = (v) => 6 + ((v - x0) / (x1 - x0 || 1)) * (width - 12);
    const y = (v) => Math.min(Math.max(height - 6 - ((v - y0) / (y1 - y0 || 1)) * (height - 12), -height), 2 * height);
    for (const j of shown) {
      const own = D.panels.levels[j], one = document.createElement("div"), name = document.createElement("p");
      one.className = j === chosen ? "panel chosen-panel" : "panel";
      name.append(Object.assign(document.createElement("bdi"), { textContent: D.labels[j], title: D.full[j] || D.labels[j] }), ` (n = ${D.n[j].toLocaleString("en")})`);
      const svg = draw(one, "svg", { viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
      one.prepend(name);
      draw(svg, "path", { class: "points", d: dots(own.x.map((v, i) => [x(v), y(own.y[i])])) });
      const at = (coef, from) => line(own.line.x.map((v, i) => [x(v), y(own.line.rest[i] + dot(own.line.Z, i * k, coef, from, k))]));
      panels.push({ j, at, pooled: draw(svg, "path", { class: "pooled" }), partial: draw(svg, "path", { class: "fitted" }) });
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
    const height = 190, { svg, width } = empty("curve", height + 42), left = 12;
    const x = axis(svg, 0, D.curve.high, left, width - 12, height, D.names.sd);
    const places = grid.map((sd, i) => i).filter((i) => grid[i] <= D.curve.high);
    Object.assign(curve, { x, height, places });
    curve.own = draw(svg, "path", { class: "before" });
    curve.posterior = draw(svg, "path", { class: "posterior" });
    curve.prior = draw(svg, "path", { class: "prior" });
    curve.here = draw(svg, "path", { class: "here" });
  }

  let without = null; // of the level that is left out
  function showCurve() {
    if (!D.curve) return;
    const now = density(state.by, without), before = density(1, null), { x, height, places } = curve;
    const prior = D.curve.prior ? grid.map((sd) => Math.exp(logPrior(sd, state.by))) : null;
    const top = Math.max(...places.map((i) => Math.max(now[i], before[i])));
    const y = (v) => height - Math.min(v / top, 1.15) * (height - 26);
    const even = Array.from({ length: 101 }, (_, i) => (D.curve.high * (i + 0.5)) / 101);
    const path = (values) => line(places.map((i) => [x(grid[i]), y(values[i])]));
    const ends = [x(grid[places[0]]), x(grid[places[places.length - 1]])];
    curve.own.setAttribute("d", path(before));
    curve.posterior.setAttribute("d", `${path(now)}L${fixed(ends[1])} ${height}L${fixed(ends[0])} ${height}Z`);
    curve.prior.setAttribute("d", prior ? line(even.map((sd) => [x(sd), y(Math.exp(logPrior(sd, state.by)))])) : "");
    state.density = now;
    const tail = 0.5 * (1 - D.prob), [median, low, high] = quantiles(now, [0.5, tail, 1 - tail]);
    state.median = median;
    say("curve-said", "Posterior median ", told(median, size(median)), `, ${D.percent} interval `, told(low, size(low)), " to ", told(high, size(high)),
      state.by === 1 ? "" : ` with a prior ${size(state.by)} times as wide`, state.dropped < 0 ? "." : ", without ", ...(state.dropped < 0 ? [] : [level(state.dropped), "."]));
    if (byId("curve-numbers").parentElement.open) fillCurve(now, prior);
  }

  function fillCurve(now, prior) {
    const step = Math.ceil(curve.places.length / 12), body = byId("curve-numbers").tBodies[0];
    fillTable(body, curve.places.filter((_, i) => i % step === 0).map((i) => [told(grid[i], size(grid[i])), prior ? told(prior[i], prior[i].toPrecision(3)) : "–", told(now[i], now[i].toPrecision(3))]));
  }

  function fillTable(body, rows) {
    body.replaceChildren(...rows.map((cells) => {
      const row = document.createElement("tr");
      cells.forEach((cell, c) => {
        const own = document.createElement(c === 0 ? "th" : "td");
        if (c === 0) own.scope = "row";
        if (typeof cell === "string") own.textContent = cell;
        else {
          const inner = document.createElement(cell.name ? "bdi" : "data");
          inner.textContent = cell.text;
          if (cell.name) inner.title = cell.full;
          else inner.value = cell.exact;
          own.append(inner);
        }
        row.append(own);
      });
      return row;
    }));
  }

  function fillLevels(found) {
    const rows = order.map((j) => {
      const own = found.coef[j * k + turned], reach = Z * found.se[j];
      return [level(j), String(D.n[j]), D.own[j] === null ? "–" : told(D.own[j]), told(own), told(own - reach), told(own + reach), told(found.pooling[j], percent(found.pooling[j]))];
    });
    fillTable(byId("levels-numbers").tBodies[0], rows);
    fillTable(byId("fixed-numbers").tBodies[0], found.beta.map((b, a) => [{ name: true, text: D.fixedNames[a], full: D.fixedNames[a] }, told(b, size3(b, found.betaSe[a])), told(b - Z * found.betaSe[a], size3(b - Z * found.betaSe[a], found.betaSe[a])), told(b + Z * found.betaSe[a], size3(b + Z * found.betaSe[a], found.betaSe[a]))]));
  }
  const size3 = (v, se) => number(v, se > 0 ? Math.max(0, 1 - Math.floor(Math.log10(se))) : 3);

  // --- one step ---------------------------------------------------------------------

  const middle = (values) => {
    const own = Array.from(values).sort((a, b) => a - b), half = own.length >> 1;
    return own.length % 2 ? own[half] : 0.5 * (own[half - 1] + own[half]);
  };

  function show() {
    const added = state.n > 0 ? newLevel(state.n, state.value) : null;
    const found = estimates(state.sd, state.dropped, added);
    if (found === null) {
      byId("problem").hidden = false;
      return;
    }
    byId("problem").hidden = true;
    const pooling = middle(found.pooling.subarray(0, J));
    const lambda = state.sd > 0 ? (D.sigma / state.sd) ** 2 : Infinity;
    say("sd-now", told(state.sd, size(state.sd)));
    say("pooling-now", told(pooling, percent(pooling)));
    say("center-now", told(found.center[turned]));
    say("ridge-now", told(lambda, lambda === Infinity ? "∞" : size(lambda)));
    byId("sd").setAttribute("aria-valuetext", `SD ${size(state.sd)}, the usual level pooled by ${percent(pooling)}`);
    showLevels(found);
    showPanels(found);
    showLevel(found);
    showNew(found, added);
    if (D.curve) curve.here.setAttribute("d", state.sd <= D.curve.high ? `M${fixed(curve.x(state.sd))} 4V${curve.height}` : "");
    if (byId("levels-numbers").parentElement.open) fillLevels(found);
  }

  function showLevel(found) {
    const j = state.level, own = found.coef[j * k + turned], se = found.se[j];
    const rows = `${D.n[j].toLocaleString("en")} ${D.n[j] === 1 ? "row" : "rows"}`;
    const alone = D.own[j] === null ? ["Its rows alone do not say its ", T.effect, ". "] : ["Alone it would be ", told(D.own[j]), ". "];
    if (j === state.dropped)
      say("level-said", level(j), ` is left out (${rows}). `, ...alone, "From the others one would expect ", told(own), `, ${D.percent} interval `, told(own - Z * se), " to ", told(own + Z * se), ". The centre without it is ", told(found.center[turned]), ".");
    else
      say("level-said", level(j), ` has ${rows}. `, ...alone, "Pooled it is ", told(own), `, ${D.percent} interval `, told(own - Z * se), " to ", told(own + Z * se), "; its rows leave ", told(found.pooling[j], percent(found.pooling[j])), " of the prior's variance.");
  }

  function showNew(found, added) {
    const center = found.center[turned], spread = Math.hypot(state.sd, found.centerSe);
    if (!added) {
      say("new-said", "With no rows there is only the prior: ", told(center), `, ${D.percent} interval `, told(center - Z * spread), " to ", told(center + Z * spread), ". It is pooled by 100%.");
      return;
    }
    const own = found.coef[J * k + turned], se = found.se[J];
    say("new-said", `With ${state.n} ${state.n === 1 ? "row" : "rows"} of its own at `, told(state.value), " it lands at ", told(own), `, ${D.percent} interval `, told(own - Z * se), " to ", told(own + Z * se), ", pooled by ", told(found.pooling[J], percent(found.pooling[J])), ". The centre, with it, is ", told(center), ".");
  }

  let asked = false;
  function soon() { // one picture a frame, however fast the slider moves
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => { asked = false; show(); });
  }

  /** What a screen reader says once a slider rests. */
  function announce() {
    const pooling = byId("pooling-now").textContent;
    byId("said").textContent = `SD ${byId("sd-now").textContent}: the usual level is pooled by ${pooling}, the centre is ${byId("center-now").textContent}. ${byId("level-said").textContent}`;
  }

  function turnTo(sd) {
    state.sd = sd;
    byId("sd").value = Math.round(stepOf(sd));
    show();
    announce();
  }

  /** Marks on the axis; a name that would cover another goes a line lower. */
  function marks() {
    const box = byId("marks"), width = box.clientWidth, at = (sd) => (width * stepOf(sd)) / D.dial.last;
    const ends = []; // right end of what is on each line
    const shown = [...box.querySelectorAll("[data-mark]")].map((own) => [at(D.marks[own.dataset.mark]), own]);
    for (const [x, own] of shown.sort((one, other) => one[0] - other[0])) {
      const half = own.offsetWidth / 2, middle = Math.min(Math.max(x, half), width - half);
      let line = ends.findIndex((end) => end < middle - half - 4);
      if (line < 0) line = ends.length;
      ends[line] = middle + half;
      own.style.left = `${middle}px`;
      own.style.setProperty("--line", line);
      own.style.setProperty("--shift", `${x - middle}px`);
    }
    box.style.setProperty("--lines", ends.length || 1);
    const span = byId("posterior-span");
    if (span) {
      span.style.left = `${at(D.marks.lower)}px`;
      span.style.width = `${at(D.marks.upper) - at(D.marks.lower)}px`;
    }
  }

  // --- controls ---------------------------------------------------------------------

  function listen() {
    const sd = byId("sd");
    sd.max = D.dial.last;
    sd.addEventListener("input", () => { state.sd = sdOf(Number(sd.value)); soon(); });
    sd.addEventListener("change", () => { show(); announce(); });
    for (const button of document.querySelectorAll("[data-sd]"))
      button.addEventListener("click", () => turnTo(button.dataset.sd === "now" ? state.median : Number(button.dataset.sd)));
    const chooser = byId("level"), out = byId("drop");
    D.labels.forEach((label, j) => chooser.append(Object.assign(document.createElement("option"), { value: j, textContent: label, title: D.full[j] || label, dir: "auto" })));
    chooser.value = state.level;
    const leave = () => {
      state.level = Number(chooser.value);
      const dropped = out && out.checked ? state.level : -1;
      if (dropped !== state.dropped) {
        state.dropped = dropped;
        without = dropped < 0 || !D.curve ? null : withoutLevel(dropped);
        showCurve();
      }
      drawPanels();
      show();
      announce();
    };
    chooser.addEventListener("change", leave);
    if (out) out.addEventListener("change", leave);
    for (const id of ["new-n", "new-value"])
      byId(id).addEventListener("input", () => {
        const [n, at] = ["new-n", "new-value"].map((one) => byId(one).valueAsNumber);
        if (!(n >= 0) || !Number.isFinite(at)) return;
        Object.assign(state, { n: Math.min(Math.round(n), 100000), value: at });
        show();
      });
    const by = byId("by");
    if (by)
      by.addEventListener("input", () => {
        state.by = 2 ** Number(by.value);
        by.setAttribute("aria-valuetext", `${size(state.by)} times as wide`);
        say("by-now", told(state.by, size(state.by)));
        showCurve();
      });
    for (const id of ["levels-numbers", "curve-numbers"])
      byId(id)?.parentElement.addEventListener("toggle", () => { show(); showCurve(); });
    let wide = window.innerWidth;
    addEventListener("resize", () => {
      if (wide === window.innerWidth) return; // a telephone's bar came or went
      wide = window.innerWidth;
      redraw();
    });
    const answers = document.querySelectorAll("details.answer");
    let closed = [];
    addEventListener("beforeprint", () => { closed = [...answers].filter((one) => !one.open); for (const one of closed) one.open = true; });
    addEventListener("afterprint", () => { for (const one of closed) one.open = false; });
  }

  function redraw() {
    marks();
    drawLevels();
    drawPanels();
    drawCurve();
    showCurve();
    show();
  }

  state.sd = D.dial.start;
  state.start = estimates(state.sd);
  state.level = D.first;
  state.value = D.newValue;
  byId("sd").value = Math.round(stepOf(state.sd));
  byId("new-value").value = D.newValue.toFixed(D.digits);
  state.value = Number(byId("new-value").value);
  listen();
  redraw();
