// The report's languages and filters. Texts that are set are numbers, or in the page already: every
// text is there in both languages, and the language of the page decides which is seen.
const root = document.documentElement;
const switches = [...document.querySelectorAll("[data-language]")];

const speak = (language) => {
  root.lang = language;
  document.querySelectorAll("[data-says]").forEach((element) => {
    const text = language === "en" ? element.dataset.en : element.dataset.zh;
    if (element.dataset.says === "text") element.textContent = text;
    else element.setAttribute(element.dataset.says, text);
  });
  switches.forEach((button) => {
    button.setAttribute("aria-pressed", button.dataset.language === language);
  });
};

switches.forEach((button) => {
  button.addEventListener("click", () => speak(button.dataset.language));
  button.parentNode.hidden = false;
});
speak(root.lang);

const at = (id) => document.getElementById(id);
const box = at("pairs");
const rows = box ? [...box.querySelectorAll("tbody tr")] : [];
const keys = ["predictor", "protocol", "cluster", "answered"];
const step = 12;
let limit = step;

// [wrong answers, questions of the truth] of a row, at the chosen site if one is chosen
const counts = (row) => {
  const site = at("site").value;
  if (site === "") return [+row.dataset.n, +row.dataset.of];
  const there = JSON.parse(row.dataset.sites).find((entry) => entry[0] === +site);
  return there ? there.slice(1) : [0, 0];
};

const fits = (row) =>
  keys.every((key) => at(key).value === "" || row.dataset[key] === at(key).value)
  && row.querySelector("b").textContent.includes(at("dish").value.trim());

const show = () => {
  const fitting = rows.filter(fits)
    .map((row) => [row, ...counts(row)])
    .filter(([, n]) => n > 0)
    .sort(([, n], [, other]) => other - n);
  rows.forEach((row) => { row.hidden = true; });
  fitting.slice(0, limit).forEach(([row, n, of]) => {
    row.hidden = false;
    row.cells[2].textContent = `${n} / ${of}`;
    row.cells[3].textContent = `${(100 * n / of).toFixed(1)}%`;
    row.parentNode.append(row);
  });
  at("state").textContent = `${Math.min(limit, fitting.length)} / ${fitting.length}`;
  at("more").hidden = fitting.length <= limit;
};

const choose = (values) => {
  Object.entries(values).forEach(([id, value]) => { at(id).value = value; });
  limit = step;
  show();
};

if (box) {
  const opened = {predictor: at("predictor").value, protocol: at("protocol").value};
  const none = {site: "", dish: "", cluster: "", answered: ""};
  ["site", "dish", ...keys].forEach((id) => at(id).addEventListener("input", () => choose({})));
  at("clear").addEventListener("click", () => choose(none));
  at("more").addEventListener("click", () => { limit += step; show(); });
  document.querySelectorAll(".matrix button").forEach((button) => {
    const {cluster, answered} = button.dataset;
    button.addEventListener("click", () => {
      choose({...opened, ...none, cluster, answered});
      box.scrollIntoView({behavior: "smooth"});
    });
  });
  box.querySelector(".filters").hidden = false;
  choose(opened);
}
