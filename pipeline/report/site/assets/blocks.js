// A trace's page: steps through its blocks, and to the next trace of the list that the reader came from.
"use strict";

function currentBlock() {
  const focused = document.activeElement && document.activeElement.closest(".block");
  if (focused) return focused;
  const blocks = [...document.querySelectorAll(".block")];
  return blocks.find((block) => block.getBoundingClientRect().bottom > 120) || null;
}

{
  const blocks = [...document.querySelectorAll(".block")];

  const show = (block) => {
    if (!block) return;
    block.focus({ preventScroll: true });
    block.scrollIntoView({ block: "start" });
    history.replaceState(null, "", `#${block.id}`);
  };
  // Before the first step no block has the focus, and the first one counts as the next.
  const step = (among, by) => {
    const focused = document.activeElement && document.activeElement.closest(".block");
    const at = focused ? blocks.indexOf(focused) : by > 0 ? -1 : blocks.length;
    const rest = by > 0 ? blocks.slice(at + 1) : blocks.slice(0, at).reverse();
    show(rest.find((block) => among(block)));
  };

  const follow = (rel) => {
    const link = document.querySelector(`.neighbours a[rel=${rel}]`);
    if (link) link.click();
  };

  // The list's own order, filters included, where the reader came from it.
  try {
    const root = document.body.dataset.root;
    const order = JSON.parse(sessionStorage.getItem("traces") || "[]");
    const at = order.findIndex((path) => location.pathname.endsWith(`/${path}`));
    if (at >= 0) {
      for (const [rel, path] of [["prev", order[at - 1]], ["next", order[at + 1]]]) {
        const link = document.querySelector(`.neighbours a[rel=${rel}]`);
        if (link && path) link.href = root + path;
        else if (link) link.remove();
      }
      const place = document.createElement("span");
      place.textContent = `${at + 1} of ${order.length} in your list`;
      document.querySelector(".neighbours").append(place);
    }
  } catch {
    // A browser that keeps nothing for pages from disk: the run's own order stays.
  }

  const any = () => true;
  pageKeys.set("j", () => follow("next"));
  pageKeys.set("k", () => follow("prev"));
  pageKeys.set("t", () => follow("up"));
  pageKeys.set("]", () => step(any, 1));
  pageKeys.set("[", () => step(any, -1));
  pageKeys.set("f", () => step((block) => block.classList.contains("is-flagged"), 1));
  pageKeys.set("r", () => {
    const block = currentBlock();
    const rounds = block && block.querySelector("details");
    if (rounds) rounds.open = !rounds.open;
  });
}
