// --- numbers in sentences and tables ----------------------------------------------

const number = (v, decimals) => {
  if (v === null || Number.isNaN(v)) return "–";
  const far = decimals > 7 || Math.abs(v) >= 1e7;
  const text = far ? v.toExponential(2) : v.toFixed(Math.max(decimals, 0));
  return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "−");
};
const value = (v) => number(v, D.digits);
const size = (v) => number(v, v > 0 ? Math.max(0, 2 - Math.floor(Math.log10(v))) : 0);
const percent = (v) =>
  `${v > 0 && v < 0.01 ? "under 1" : v > 0.99 && v < 1 ? "over 99" : number(100 * v, 0)}%`;

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
const level = (j) => ({
  name: true,
  text: D.labels[j],
  full: D.full[j] || D.labels[j],
});

function fillCurve(now, prior) {
  const step = Math.ceil(curve.places.length / 12),
    body = byId("curve-numbers").tBodies[0];
  fillTable(
    body,
    curve.places
      .filter((_, i) => i % step === 0)
      .map((i) => [
        told(grid[i], size(grid[i])),
        prior ? told(prior[i], prior[i].toPrecision(3)) : "–",
        told(now[i], now[i].toPrecision(3)),
      ]),
  );
}

function fillTable(body, rows) {
  body.replaceChildren(
    ...rows.map((cells) => {
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
    }),
  );
}

function fillLevels(found) {
  const rows = order.map((j) => {
    const own = found.coef[j * k + turned],
      reach = Z * found.se[j];
    return [
      level(j),
      String(D.n[j]),
      D.own[j] === null ? "–" : told(D.own[j]),
      told(own),
      told(own - reach),
      told(own + reach),
      told(found.pooling[j], percent(found.pooling[j])),
    ];
  });
  fillTable(byId("levels-numbers").tBodies[0], rows);
  fillTable(
    byId("fixed-numbers").tBodies[0],
    found.beta.map((b, a) => [
      { name: true, text: D.fixedNames[a], full: D.fixedNames[a] },
      told(b, size3(b, found.betaSe[a])),
      told(b - Z * found.betaSe[a], size3(b - Z * found.betaSe[a], found.betaSe[a])),
      told(b + Z * found.betaSe[a], size3(b + Z * found.betaSe[a], found.betaSe[a])),
    ]),
  );
}
const size3 = (v, se) =>
  number(v, se > 0 ? Math.max(0, 1 - Math.floor(Math.log10(se))) : 3);
