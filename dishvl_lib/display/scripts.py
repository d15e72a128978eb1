"""The scripts of the browser and of the report page. They hold no data: what they show is in the page, escaped."""

# Keys of the browser in JupyterLab: ipywidgets has none. On the window and before everybody else, because in command mode
# JupyterLab itself takes 1, 2 and 3 and would turn the cell into a heading.
KEYS = """
if (!window.dishvlKeys) {
  window.dishvlKeys = true;
  const steps = {ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1};
  const press = (event) => {
    const at = document.activeElement, browser = at && at.closest(".dishvl-browser"), card = at && at.closest(".dishvl-marks");
    if (!browser || event.ctrlKey || event.altKey || event.metaKey || at.matches("input, textarea, select")) return;
    const mark = card && card.querySelectorAll("button")[["1", "2", "3"].indexOf(event.key)];
    const all = [...browser.querySelectorAll("button:enabled, .dishvl-marks")].filter((one) => one.offsetParent);
    const next = all[all.indexOf(at) + steps[event.key]];
    if (!mark && !(event.key in steps)) return;
    if (mark && !event.repeat) mark.click();
    if (next) next.focus();
    event.preventDefault();
    event.stopImmediatePropagation();
  };
  window.addEventListener("keydown", press, true);
}
""".strip()
