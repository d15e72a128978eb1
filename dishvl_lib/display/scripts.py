"""The scripts of the browser and of the report page. They hold no data: what they show is in the
page, escaped.
"""

# Keys of the browser in JupyterLab: ipywidgets has none. On the window and before everybody else,
# because in command mode JupyterLab itself takes 1, 2 and 3 and would turn the cell into a heading.
KEYS = """
if (!window.dishvlKeys) {
  window.dishvlKeys = true;
  const focus = (one) => { if (one.matches(".dishvl-marks")) one.tabIndex = -1; one.focus(); };
  const steps = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1};
  const press = (event) => {
    const at = document.activeElement, browser = at && at.closest(".dishvl-browser"), card = at && at.closest(".dishvl-marks");
    if (!browser || event.ctrlKey || event.altKey || event.metaKey || at.matches("input, textarea, select")) return;
    const mark = card && card.querySelectorAll("button")[["1", "2", "3"].indexOf(event.key)];
    const all = [...browser.querySelectorAll("button:enabled, .dishvl-marks")].filter((one) => one.offsetParent);
    const next = all[all.indexOf(at) + steps[event.key]];
    if (!mark && !(event.key in steps)) return;
    if (mark && !event.repeat) mark.click();
    if (next) focus(next);
    event.preventDefault();
    event.stopImmediatePropagation();
  };
  window.addEventListener("keydown", press, true);
  window.addEventListener("click", (event) => {
    const card = event.target.closest(".dishvl-marks");
    if (card && !event.target.closest("button, input")) focus(card);
  }, true);
}
""".strip()

# The report's filters. Texts that are set are numbers; everything else is in the page already.
FILTERS = """
const at = (id) => document.getElementById(id), box = at("pairs"), step = 12;
const rows = box ? [...box.querySelectorAll("tbody tr")] : [], keys = ["predictor", "protocol", "cluster", "answered"];
let limit = step;
const counts = (row) => {
  const site = at("site").value, all = [+row.dataset.n, +row.dataset.of];
  return site === "" ? all : (JSON.parse(row.dataset.sites).find((one) => one[0] === +site) || [0, 0, 0]).slice(1);
};
const fits = (row) => keys.every((key) => at(key).value === "" || row.dataset[key] === at(key).value)
  && row.querySelector("b").textContent.includes(at("dish").value.trim());
const show = () => {
  const found = rows.filter(fits).map((row) => [row, ...counts(row)]).filter((one) => one[1] > 0).sort((one, other) => other[1] - one[1]);
  rows.forEach((row) => { row.hidden = true; });
  found.slice(0, limit).forEach(([row, n, of]) => {
    row.hidden = false;
    row.cells[2].textContent = `${n} / ${of}`;
    row.cells[3].textContent = `${(100 * n / of).toFixed(1)}%`;
    row.parentNode.append(row);
  });
  at("state").textContent = `${Math.min(limit, found.length)} / ${found.length}`;
  at("more").hidden = found.length <= limit;
};
const choose = (values) => {
  Object.entries(values).forEach(([id, value]) => { at(id).value = value; });
  limit = step;
  show();
};
if (box) {
  const opened = {predictor: at("predictor").value, protocol: at("protocol").value}, none = {site: "", dish: "", cluster: "", answered: ""};
  ["site", "dish", ...keys].forEach((id) => at(id).addEventListener("input", () => choose({})));
  at("clear").addEventListener("click", () => choose(none));
  at("more").addEventListener("click", () => { limit += step; show(); });
  document.querySelectorAll(".matrix button").forEach((button) => button.addEventListener("click", () => {
    choose({...opened, ...none, cluster: button.dataset.cluster, answered: button.dataset.answered});
    box.scrollIntoView({behavior: "smooth"});
  }));
  box.querySelector(".filters").hidden = false;
  choose(opened);
}
""".strip()
