// The glossary: a term opens its meaning beside it. Without scripts, its link leads to the list.
(() => {
  "use strict";
  const note = document.getElementById("meaning");
  if (!note.showPopover) return;
  let opener = null;

  function open(link) {
    const entry = document.getElementById(link.hash.slice(1));
    const name = document.createElement("strong");
    name.textContent = entry.querySelector("dt").textContent;
    note.replaceChildren(name, ...entry.querySelector("dd").cloneNode(true).childNodes);
    note.setAttribute("aria-label", `Meaning of ${name.textContent}`);
    opener = link;
    note.showPopover();
    const box = link.getBoundingClientRect(), room = document.documentElement.clientWidth - note.offsetWidth - 16;
    const below = box.bottom + note.offsetHeight + 12 < window.innerHeight;
    note.style.left = `${Math.max(16, Math.min(box.left, room)) + window.scrollX}px`;
    note.style.top = `${(below ? box.bottom + 6 : box.top - note.offsetHeight - 6) + window.scrollY}px`;
    note.focus({ preventScroll: true });
  }

  document.addEventListener("click", (event) => {
    const link = event.target.closest("a.term");
    if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      open(link);
    } else if (event.target.closest("#meaning a")) note.hidePopover();
  });
  note.addEventListener("toggle", (event) => {
    if (event.newState === "closed" && note.contains(document.activeElement)) opener?.focus({ preventScroll: true });
  });
})();
