// Keys go to the player that was touched last, unless what has the focus needs them itself.
(() => {
  "use strict";
  if (!window.denoisePlayers) return;
  const OWN = "input, select, textarea, button, a, summary, audio, [contenteditable], .player, .blind";
  let touched = null, place = null;  // a player, and what holds it: another may have taken its place
  const touch = ({ target }) => {
    const player = target.closest?.(".player") ?? target.closest?.(".matrix")?.querySelector(".player");
    if (player) [touched, place] = [player, player.parentElement];
  };
  document.addEventListener("pointerdown", touch);
  document.addEventListener("focusin", touch);
  document.addEventListener("keydown", (event) => {
    if (!touched || event.defaultPrevented || event.target.closest(OWN)) return;
    // In a box that scrolls, arrows scroll.
    if (event.target !== document.body && event.target.tabIndex >= 0 && event.key.startsWith("Arrow")) return;
    (touched.isConnected ? touched : place.querySelector(".player"))?.player?.key(event);
  });
})();
