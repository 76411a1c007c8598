"""The filter of the table of answers. It holds no data and makes no HTML: it hides rows, and puts them in another order."""
# ruff: noqa: E501 - JavaScript of its own width

from __future__ import annotations

JS = """
(function () {
  var tools = document.querySelector('.tools'), list = document.querySelector('.rows');
  if (!tools || !list) return;
  var words = tools.querySelector('input'), state = tools.querySelector('[name=state]'), order = tools.querySelector('[name=order]');
  var shown = tools.querySelector('output'), rows = Array.from(list.querySelectorAll('.row')), texts = null, waiting = 0;
  function filter() {
    texts = texts || rows.map(function (row) { return row.textContent.toLowerCase(); });
    var wanted = words.value.toLowerCase().split(/\\s+/).filter(Boolean), count = 0;
    rows.forEach(function (row, at) {
      var fits = (!state.value || row.dataset.state === state.value) && wanted.every(function (word) { return texts[at].includes(word); });
      row.hidden = !fits;
      count += fits;
    });
    shown.textContent = count === rows.length ? '' : count + ' of ' + rows.length;
  }
  function sort() {
    var by = order.value, sign = by === 'line' ? 1 : -1;
    var sorted = rows.slice().sort(function (a, b) { return sign * ((+a.dataset[by] || 0) - (+b.dataset[by] || 0)) || a.dataset.line - b.dataset.line; });
    sorted.forEach(function (row) { list.appendChild(row); });
  }
  words.addEventListener('input', function () { clearTimeout(waiting); waiting = setTimeout(filter, 120); });
  state.addEventListener('change', filter);
  order.addEventListener('change', sort);
  tools.hidden = false;
})();
"""
