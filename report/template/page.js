// Contents: marks the section that is read; folds away on narrow screens; opens what a link points into.
(() => {
  "use strict";
  const links = new Map([...document.querySelectorAll(".contents a")].map((link) => [link.hash.slice(1), link]));
  const sections = [...links.keys()].map((id) => document.getElementById(id));

  const here = document.querySelector(".contents .here");

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
    here.textContent = read ? links.get(read.id).textContent : "";
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

  // What scrolls sideways must be reachable by keyboard, and a table shows that it does.
  function reachable() {
    for (const box of document.querySelectorAll(".figure, .formula, .table, pre, p:has(.diagram)")) {
      if (!box.clientWidth) continue;
      const wider = box.scrollWidth > box.clientWidth + 1;
      if (wider) box.tabIndex = 0;
      if (box.matches(".table")) {
        box.classList.toggle("scrolls", wider);
        atEnd({ target: box });
      }
    }
  }
  function atEnd({ target: box }) {
    if (box.matches?.(".table")) box.classList.toggle("at-end", box.scrollLeft + box.clientWidth >= box.scrollWidth - 2);
  }
  document.addEventListener("scroll", atEnd, { capture: true, passive: true });
  window.addEventListener("load", reachable);
  window.addEventListener("resize", reachable);

  // Long lists are built when they are opened.
  document.addEventListener("toggle", ({ target }) => {
    const list = target.matches?.("details.long[open]") && target.querySelector("template");
    if (list) {
      list.replaceWith(list.content);
      document.dispatchEvent(new CustomEvent("tables"));
    }
    reachable();
  }, { capture: true });

  function reveal() {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let parent = target && target.closest("details"); parent; parent = parent.parentElement.closest("details")) parent.open = true;
  }
  window.addEventListener("hashchange", () => { reveal(); mark(); });
  reveal();
})();
