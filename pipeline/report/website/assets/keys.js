// What every page has: the list of keys, and a place where pages put their own.
// No modules: browsers refuse them to a page that is opened from disk.
"use strict";

const pageKeys = new Map();

{
  const help = document.getElementById("help");
  const button = document.getElementById("help-button");
  button.addEventListener("click", () => help.showModal());

  const isTyping = (target) =>
    target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName);

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (event.key === "?") {
      event.preventDefault();
      if (help.open) help.close();
      else help.showModal();
    } else if (!help.open && pageKeys.has(event.key)) {
      event.preventDefault();
      pageKeys.get(event.key)();
    }
  });
}
