"use strict";
// Filtering only: without scripts the page shows everything.
(function () {
  const tools = document.getElementById("tools");
  const opened = [];
  window.addEventListener("beforeprint", function () {
    for (const part of document.querySelectorAll("details:not([open])")) {
      part.open = true;
      opened.push(part);
    }
  });
  window.addEventListener("afterprint", function () {
    while (opened.length) opened.pop().open = false;
  });
  if (!tools) return;
  const find = document.getElementById("find");
  const warned = document.getElementById("warned");
  function apply() {
    const text = find.value.trim().toLowerCase();
    for (const group of document.querySelectorAll(".group")) {
      let shown = 0;
      for (const card of group.querySelectorAll(".card")) {
        card.hidden = !card.dataset.text.includes(text)
          || (warned.checked && !card.classList.contains("warned"));
        shown += card.hidden ? 0 : 1;
      }
      group.hidden = shown === 0;
    }
  }
  tools.hidden = false;
  tools.addEventListener("submit", function (event) { event.preventDefault(); });
  find.addEventListener("input", apply);
  warned.addEventListener("change", apply);
  warned.parentNode.hidden = !document.querySelector(".card.warned");
})();
