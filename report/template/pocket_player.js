// A small player at the foot of the window: it pauses and continues the player that was heard last,
// while that one is out of sight, and leads back to it.
(() => {
  "use strict";
  const pocket = document.querySelector(".pocket");
  const [button, where] = [pocket.querySelector(".pocket-play"), pocket.querySelector(".pocket-where")];
  let player = null, seen = new Map();

  const playButton = () => player.querySelector(".player-play");
  const sight = new IntersectionObserver((changes) => {
    for (const each of changes) seen.set(each.target, each.isIntersecting);
    show();
  });

  function show() {
    pocket.hidden = !player || seen.get(player) !== false;
    if (!player) return;
    button.innerHTML = playButton().innerHTML;
    button.setAttribute("aria-label", playButton().getAttribute("aria-label") || "play or pause");
    const version = player.querySelector('.player-buttons [aria-pressed="true"]');
    where.textContent = [player.querySelector(".player-title")?.textContent, version?.dataset.name].filter(Boolean).join(": ");
    where.href = `#${(player.closest("[id]") || document.getElementById("listen")).id}`;
  }

  function take(found) {
    if (!found || !found.querySelector(".player-play") || found === player) return;
    player = found;
    sight.disconnect();
    seen = new Map();
    sight.observe(player);
    new MutationObserver(show).observe(playButton(), { childList: true, attributes: true });
  }

  // A cell of the matrix is heard from the player below it. Before the button's picture is replaced, and
  // with it the event's target.
  document.addEventListener("click", ({ target }) => {
    take(target.closest(".player") ?? target.closest(".matrix")?.querySelector(".player"));
  }, { capture: true });
  // Where a player takes the place of another, it is the one to control from then on.
  document.addEventListener("swap", ({ detail: { before, after } }) => { if (before === player) take(after); });
  where.addEventListener("click", (event) => {
    event.preventDefault();
    player.scrollIntoView({ block: "center" });
    playButton().focus({ preventScroll: true });
  });
  button.addEventListener("click", () => playButton().click());
})();
