// Every word of the page, in both languages.

const WORDS = {
  zh: {
    language: "English",
    take: "拍照",
    choose: "选择照片",
    whole: "整个托盘：照片上有几道菜",
    dish: "道菜",
    dishes: "道菜",
    noDish: "没有找到菜",
    trayNeedsMenu: "托盘上的菜要从菜单里选：先写今日菜单",
    unproved: "裁切的边距未经证实：模型未必是用这样裁的照片训练的",
    unsure: "拿不准",
    "not on the menu": "不在菜单上",
    "overlaps another dish": "与另一道菜重叠",
    otherwise: "也可能是",
    menu: "今日菜单",
    site: "食堂",
    menuHelp: "每行一道菜，可以带编号和价格",
    save: "保存菜单",
    saved: "已保存",
    unsaved: "有改动，尚未保存；识别时按这里写的菜单",
    noSite: "先填食堂的名字",
    recent: "最近的照片",
    recentHelp: "最多 20 张，只在这个网页的内存里，关掉就没有了。",
    absent: "不在菜单上",
    present: "在菜单上的可能性",
    named: "模型起的名字",
    wrong: "不对？",
    itWas: "其实是",
    ask: "照片会存到服务器的更正文件夹，菜名：",
    store: "存下来",
    cancel: "不存",
    stored: "已存到",
    token: "请输入这个服务的口令（DISHVL_TOKEN）",
    wrongToken: "口令不对",
    enter: "确定",
    working: "识别中……",
    unreachable: "连不上服务，请检查网络或服务是否在运行",
    request: "请求号",
    noMenu: "没有菜单：只起菜名",
    tooLarge: "照片或内容太大",
    bad_photo: "这张照片不能用",
    bad_menu: "菜单不能用",
    busy: "服务正忙，请稍后再试",
  },
  en: {
    language: "中文",
    take: "Take a photo",
    choose: "Choose a photo",
    whole: "A whole tray: several dishes on the photo",
    dish: "dish",
    dishes: "dishes",
    noDish: "No dish found",
    trayNeedsMenu: "A tray's dishes are chosen from the menu: write today's menu first",
    unproved: "whether the model was trained on photos cropped with this margin is not known",
    unsure: "unsure",
    "not on the menu": "not on the menu",
    "overlaps another dish": "overlaps another dish",
    otherwise: "or else",
    menu: "Today's menu",
    site: "Site",
    menuHelp: "A dish a line; numbers and prices may stand beside the names",
    save: "Save menu",
    saved: "saved",
    unsaved: "changed, not saved yet; photos are answered from what stands here",
    noSite: "give the site's name first",
    recent: "Last photos",
    recentHelp: "At most 20, in this page's memory only; they go when it is closed.",
    absent: "Not on the menu",
    present: "on the menu with probability",
    named: "the model's own name",
    wrong: "Wrong?",
    itWas: "It was",
    ask: "The photo will be kept on the server, among the corrections, as: ",
    store: "Keep it",
    cancel: "Do not keep it",
    stored: "kept as",
    token: "Enter this service's token (DISHVL_TOKEN)",
    wrongToken: "That is not this service's token",
    enter: "Enter",
    working: "Looking …",
    unreachable: "The service cannot be reached; check the network and whether it runs",
    request: "request",
    noMenu: "Without a menu: the dish is only named",
    tooLarge: "The photo or its body is too large",
    bad_photo: "This photo cannot be used",
    bad_menu: "This menu cannot be used",
    busy: "The service is busy; try again in a moment",
  },
};
const KEY = "dishvl.language";

let language = localStorage.getItem(KEY) || (navigator.language.startsWith("zh") ? "zh" : "en");

export function word(key) {
  return WORDS[language][key] ?? key;
}

export function has(key) {
  return key in WORDS[language];
}

// Writes the words of the chosen language to every element with data-word.
export function show() {
  document.documentElement.lang = language === "zh" ? "zh-CN" : "en";
  for (const element of document.querySelectorAll("[data-word]")) {
    element.textContent = word(element.dataset.word);
  }
  document.getElementById("language").textContent = word("language");
}

export function change() {
  language = language === "zh" ? "en" : "zh";
  localStorage.setItem(KEY, language);
  show();
}
