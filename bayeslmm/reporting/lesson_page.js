// --- what the reader has chosen --------------------------------------------------

const state = { sd: 0, by: 1, level: 0, dropped: -1, n: 0, value: 0, start: null };

// --- one step ---------------------------------------------------------------------

const middle = (values) => {
  const own = Array.from(values).sort((a, b) => a - b),
    half = own.length >> 1;
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
  byId("sd").setAttribute(
    "aria-valuetext",
    `SD ${size(state.sd)}, the usual level pooled by ${percent(pooling)}`,
  );
  showLevels(found);
  showPanels(found);
  showLevel(found);
  showNew(found, added);
  if (D.curve)
    curve.here.setAttribute(
      "d",
      state.sd <= D.curve.high ? `M${fixed(curve.x(state.sd))} 4V${curve.height}` : "",
    );
  if (byId("levels-numbers").parentElement.open) fillLevels(found);
}

function showLevel(found) {
  const j = state.level,
    own = found.coef[j * k + turned],
    se = found.se[j];
  const rows = `${D.n[j].toLocaleString("en")} ${D.n[j] === 1 ? "row" : "rows"}`;
  const alone =
    D.own[j] === null
      ? ["Its rows alone do not say its ", T.effect, ". "]
      : ["Alone it would be ", told(D.own[j]), ". "];
  if (j === state.dropped)
    say(
      "level-said",
      level(j),
      ` is left out (${rows}). `,
      ...alone,
      "From the others one would expect ",
      told(own),
      `, ${D.percent} interval `,
      told(own - Z * se),
      " to ",
      told(own + Z * se),
      ". The centre without it is ",
      told(found.center[turned]),
      ".",
    );
  else
    say(
      "level-said",
      level(j),
      ` has ${rows}. `,
      ...alone,
      "Pooled it is ",
      told(own),
      `, ${D.percent} interval `,
      told(own - Z * se),
      " to ",
      told(own + Z * se),
      "; its rows leave ",
      told(found.pooling[j], percent(found.pooling[j])),
      " of the prior's variance.",
    );
}

function showNew(found, added) {
  const center = found.center[turned],
    spread = Math.hypot(state.sd, found.centerSe);
  if (!added) {
    say(
      "new-said",
      "With no rows there is only the prior: ",
      told(center),
      `, ${D.percent} interval `,
      told(center - Z * spread),
      " to ",
      told(center + Z * spread),
      ". It is pooled by 100%.",
    );
    return;
  }
  const own = found.coef[J * k + turned],
    se = found.se[J];
  say(
    "new-said",
    `With ${state.n} ${state.n === 1 ? "row" : "rows"} of its own at `,
    told(state.value),
    " it lands at ",
    told(own),
    `, ${D.percent} interval `,
    told(own - Z * se),
    " to ",
    told(own + Z * se),
    ", pooled by ",
    told(found.pooling[J], percent(found.pooling[J])),
    ". The centre, with it, is ",
    told(center),
    ".",
  );
}

let asked = false;
function soon() {
  // one picture a frame, however fast the slider moves
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    show();
  });
}

/** What a screen reader says once a slider rests. */
function announce() {
  const pooling = byId("pooling-now").textContent;
  byId("said").textContent =
    `SD ${byId("sd-now").textContent}: the usual level is pooled by ${pooling}, the centre is ${byId("center-now").textContent}. ${byId("level-said").textContent}`;
}

const announceText = (id) => {
  byId("said").textContent = byId(id).textContent;
};

/** A new level as it is asked for; none while what is asked is no number. */
function readNew() {
  const [n, at] = ["new-n", "new-value"].map((id) => byId(id).valueAsNumber);
  const possible = Number.isInteger(n) && n >= 0 && Number.isFinite(at);
  Object.assign(state, possible ? { n, value: at } : { n: 0 });
  show();
  if (!possible)
    say("new-said", "Rows are a whole number from 0 on, and their value a number.");
}

function turnTo(sd) {
  state.sd = sd;
  byId("sd").value = Math.round(stepOf(sd));
  show();
  announce();
}

/** Marks on the axis; a name that would cover another goes a line lower. */
function marks() {
  const box = byId("marks"),
    width = box.clientWidth,
    at = (sd) => (width * stepOf(sd)) / D.dial.last;
  const ends = []; // right end of what is on each line
  const shown = [...box.querySelectorAll("[data-mark]")].map((own) => [
    at(D.marks[own.dataset.mark]),
    own,
  ]);
  for (const [x, own] of shown.sort((one, other) => one[0] - other[0])) {
    const half = own.offsetWidth / 2,
      middle = Math.min(Math.max(x, half), width - half);
    let line = ends.findIndex((end) => end < middle - half - 4);
    if (line < 0) line = ends.length;
    ends[line] = middle + half;
    own.style.left = `${(100 * middle) / width}%`;
    own.style.setProperty("--line", line);
    own.style.setProperty("--shift", `${x - middle}px`);
  }
  box.style.setProperty("--lines", ends.length || 1);
  const span = byId("posterior-span");
  if (span) {
    const [low, high] = [at(D.marks.lower), at(D.marks.upper)];
    span.style.left = `${(100 * low) / width}%`;
    span.style.width = `${(100 * (high - low)) / width}%`;
  }
}

// --- controls ---------------------------------------------------------------------

function listen() {
  const sd = byId("sd");
  sd.max = D.dial.last;
  sd.addEventListener("input", () => {
    state.sd = sdOf(Number(sd.value));
    soon();
  });
  sd.addEventListener("change", () => {
    show();
    announce();
  });
  for (const button of document.querySelectorAll("[data-sd]"))
    button.addEventListener("click", () =>
      turnTo(button.dataset.sd === "now" ? state.median : Number(button.dataset.sd)),
    );
  const chooser = byId("level"),
    out = byId("drop");
  D.labels.forEach((label, j) =>
    chooser.append(
      Object.assign(document.createElement("option"), {
        value: j,
        textContent: label,
        title: D.full[j] || label,
        dir: "auto",
      }),
    ),
  );
  chooser.value = state.level;
  const leave = () => {
    state.level = Number(chooser.value);
    const dropped = out && out.checked ? state.level : -1;
    if (dropped !== state.dropped) {
      state.dropped = dropped;
      without = dropped < 0 || !D.curve ? null : withoutLevel(dropped);
      if (without && without.some(Number.isNaN)) without = null;
      showCurve();
    }
    drawPanels();
    show();
    announce();
  };
  chooser.addEventListener("change", leave);
  if (out) out.addEventListener("change", leave);
  for (const id of ["new-n", "new-value"]) {
    byId(id).addEventListener("input", readNew);
    byId(id).addEventListener("change", () => announceText("new-said"));
  }
  const by = byId("by");
  if (by) {
    by.addEventListener("input", () => {
      state.by = 2 ** Number(by.value);
      by.setAttribute("aria-valuetext", `${size(state.by)} times as wide`);
      say("by-now", told(state.by, size(state.by)));
      showCurve();
    });
    by.addEventListener("change", () => announceText("curve-said"));
  }
  for (const id of ["levels-numbers", "curve-numbers"])
    byId(id)?.parentElement.addEventListener("toggle", () => {
      show();
      showCurve();
    });
  let wide = window.innerWidth;
  addEventListener("resize", () => {
    if (wide === window.innerWidth) return; // a telephone's bar came or went
    wide = window.innerWidth;
    redraw();
  });
  const answers = document.querySelectorAll("details.answer");
  let closed = [];
  addEventListener("beforeprint", () => {
    closed = [...answers].filter((one) => !one.open);
    for (const one of closed) one.open = true;
  });
  addEventListener("afterprint", () => {
    for (const one of closed) one.open = false;
  });
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
