extension ReportPage {
  static let style = """
    body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 84rem; padding: 0 1rem; color: #1c1c1c;
      overflow-wrap: anywhere }
    h1 { font-size: 1.5rem; margin-bottom: 0 } h2 { font-size: 1.15rem; margin-top: 2.2rem }
    .scroll { overflow-x: auto }
    table { border-collapse: collapse; font-size: 13px; white-space: nowrap; overflow-wrap: normal }
    th, td { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid #e2e2e2; font-variant-numeric: tabular-nums }
    th { border-bottom: 2px solid #888; padding: 0 }
    th button { all: unset; cursor: pointer; padding: .25rem .6rem; font-weight: 600 }
    th button:hover, th button:focus-visible { background: #eee }
    th[aria-sort=ascending] button::after { content: " \\25B2" } th[aria-sort=descending] button::after { content: " \\25BC" }
    th:first-child, td:first-child { text-align: left; position: sticky; left: 0; background: #fff }
    tr.dense td { font-weight: 600 } td.warn { color: #b30000 } tr.hot td { background: #fff3d6 }
    .plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(26rem, 100%), 1fr)); gap: 1rem }
    svg { width: 100%; font: 12px system-ui, sans-serif } svg .title { font-size: 14px; font-weight: 600 }
    svg .grid { stroke: #e4e4e4 } svg circle { cursor: pointer } svg.some g[data-line]:not(.hot) { opacity: .18 }
    .legend button { all: unset; cursor: pointer; margin-right: 1.1rem; white-space: nowrap }
    .legend button:hover, .legend button:focus-visible { text-decoration: underline }
    .legend button[aria-pressed=false] { opacity: .4; text-decoration: line-through }
    .legend i { display: inline-block; width: .8rem; height: .8rem; border-radius: 50%; margin-right: .35rem }
    .tip { position: fixed; pointer-events: none; background: #222; color: #fff; padding: .25rem .5rem; border-radius: .25rem;
      font-size: 13px; max-width: 20rem; z-index: 2 }
    .tools label { margin-right: 1.2rem } .tools input { vertical-align: middle; width: min(20rem, 60vw) }
    .gallery { display: grid; gap: .5rem } .gallery div { display: flex; flex-wrap: wrap; gap: .5rem }
    figure { margin: 0; flex: none } figure img { width: 14rem; display: block } figure img[hidden] { display: none }
    figcaption { font-size: 12px; color: #555; max-width: 14rem; min-height: 3.2em } figcaption span { display: block }
    dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; font-size: 13px }
    dt { color: #555 } dd { margin: 0 } .run dd { font-family: ui-monospace, monospace }
    @media (max-width: 40rem) { dl { grid-template-columns: 1fr } dd { margin-bottom: .3rem } }
    @media print {
      body { margin: 0; max-width: none; font-size: 9pt } .tools, .tip { display: none } .scroll { overflow: visible }
      table { font-size: 6pt; white-space: normal } th, td, th button { padding: .1rem .2rem }
      th:first-child, td:first-child { position: static } svg, tr, figure { break-inside: avoid }
      figure img { width: 9rem }
    }
    """

  static let script = """
    (() => {
      const all = (selector, root = document) => [...root.querySelectorAll(selector)];
      const rows = all('tbody tr'), lines = all('svg g[data-line]'), hidden = new Set();
      let precision = '';

      const filter = () => {
        for (const part of [...rows, ...lines]) {
          const own = part.dataset;
          const off = hidden.has(own.line) || (precision && own.precision && own.precision !== precision);
          part.style.display = off ? 'none' : '';
        }
        for (const key of all('.legend button')) key.setAttribute('aria-pressed', !hidden.has(key.dataset.line));
      };
      for (const key of all('.legend button')) key.onclick = () => {
        const line = key.dataset.line;
        if (!hidden.delete(line)) hidden.add(line);
        filter();
      };
      for (const choice of all('#precision')) choice.onchange = () => { precision = choice.value; filter(); };
      // A line of the plots is of one precision where rows are.
      for (const row of rows) for (const line of lines)
        if (row.dataset.precision && line.dataset.line === row.dataset.line) line.dataset.precision = row.dataset.precision;

      // What a point is, and which rows and lines belong together.
      const tip = document.body.appendChild(document.createElement('div'));
      tip.className = 'tip';
      tip.hidden = true;
      const mark = (line) => {
        for (const part of [...rows, ...lines]) part.classList.toggle('hot', line !== undefined && part.dataset.line === line);
        for (const plot of all('svg')) plot.classList.toggle('some', lines.some((l) => l.dataset.line === line));
      };
      for (const point of all('svg circle')) {
        const text = point.querySelector('title').textContent;
        point.setAttribute('aria-label', text);
        point.querySelector('title').remove();
        point.onpointerenter = (event) => {
          tip.textContent = text;
          tip.hidden = false;
          const left = Math.min(event.clientX + 12, innerWidth - tip.offsetWidth - 8);
          tip.style.left = Math.max(8, left) + 'px';
          tip.style.top = Math.max(8, event.clientY - tip.offsetHeight - 8) + 'px';
          mark(point.parentElement.dataset.line);
        };
        point.onpointerleave = () => { tip.hidden = true; mark(); };
      }
      for (const row of rows) if (row.dataset.line) {
        row.onpointerenter = () => mark(row.dataset.line);
        row.onpointerleave = () => mark();
      }

      // By a column: up, down, as it was. What is no number stands last.
      const first = (text) => { const found = /-?\\d+(\\.\\d+)?/.exec(text); return found ? Number(found[0]) : NaN; };
      all('thead th').forEach((head, column) => head.querySelector('button').onclick = () => {
        const was = head.getAttribute('aria-sort');
        const order = was === 'none' ? 'ascending' : was === 'ascending' ? 'descending' : 'none';
        for (const other of all('thead th')) other.setAttribute('aria-sort', 'none');
        head.setAttribute('aria-sort', order);
        const text = (row) => row.cells[column].textContent;
        const isWord = rows.filter((row) => /^[a-z(]/i.test(text(row))).length > rows.length / 2;
        const sign = order === 'descending' ? -1 : 1;
        const sorted = order === 'none' ? rows : [...rows].sort((one, two) => {
          if (isWord) return sign * text(one).localeCompare(text(two));
          const [a, b] = [first(text(one)), first(text(two))];
          return isNaN(a) || isNaN(b) ? isNaN(a) - isNaN(b) : sign * (a - b);
        });
        head.closest('table').tBodies[0].append(...sorted);
      });

      for (const slider of all('#stage')) slider.oninput = () => {
        for (const figure of all('figure')) {
          const images = all('img', figure);
          const shown = Math.round(slider.value / 100 * (images.length - 1));
          images.forEach((image, index) => image.hidden = index !== shown);
          figure.querySelector('figcaption span').textContent = images[shown].dataset.note;
        }
      };
    })();
    """
}
