// Contents: marks the section that is read; folds away on narrow screens; opens what a link points into.
(() => {
  "use strict";
  const links = new Map([...document.querySelectorAll(".contents a")].map((link) => [link.hash.slice(1), link]));
  const sections = [...links.keys()].map((id) => document.getElementById(id));

  function mark() {
    const line = window.innerHeight / 3;
    const top = (section) => section.getBoundingClientRect().top;
    let read = sections.filter((section) => top(section) <= line).at(-1);
    if (window.innerHeight + window.scrollY >= document.documentElement.scrollHeight - 2) {
      // The last sections are too short to come to the top: the one asked for, or else the last.
      const asked = sections.find((section) => `#${section.id}` === location.hash);
      read = asked && top(asked) >= 0 && top(asked) < window.innerHeight ? asked : sections.at(-1);
    }
    for (const [id, link] of links) {
      if (read && id === read.id) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
  }
  let waiting = false;
  window.addEventListener("scroll", () => {
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; mark(); });
  }, { passive: true });
  mark();

  const fold = document.querySelector(".contents details");
  const wide = window.matchMedia("(min-width: 66rem)");
  const fit = () => { fold.open = wide.matches; };
  wide.addEventListener("change", fit);
  fit();
  fold.addEventListener("click", (event) => { if (event.target.closest("a") && !wide.matches) fold.open = false; });

  // What scrolls sideways must be reachable by keyboard.
  function reachable() {
    for (const box of document.querySelectorAll(".figure, .formula, .table, pre, p:has(.diagram)")) {
      if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;
    }
  }
  window.addEventListener("load", reachable);
  window.addEventListener("resize", reachable);

  function reveal() {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let parent = target && target.closest("details"); parent; parent = parent.parentElement.closest("details")) parent.open = true;
  }
  window.addEventListener("hashchange", () => { reveal(); mark(); });
  reveal();
})();
