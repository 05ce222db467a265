/**
 * The script of the page. It only saves a click: rows are filtered while one types, and times are shown in local time on
 * top. Without it, the form does the same with a request.
 */
export const SCRIPT = `
'use strict';
{
  const form = document.querySelector('form.filter');
  const rows = [...document.querySelectorAll('table.schedules tbody tr')];
  const shown = document.querySelector('output.shown');
  const text = form && form.querySelector('input[name=q]');
  if (form && text && shown && form.dataset.complete === 'yes') {
    const words = rows.map((row) => row.textContent.toLowerCase());
    text.addEventListener('input', () => {
      const wanted = text.value.trim().toLowerCase().split(/\\s+/);
      let count = 0;
      rows.forEach((row, index) => {
        row.hidden = !wanted.every((word) => words[index].includes(word));
        if (!row.hidden) count += 1;
      });
      shown.textContent = count + ' of ' + rows.length + ' shown';
    });
  }
  for (const select of document.querySelectorAll('form.filter select'))
    select.addEventListener('change', () => form.requestSubmit());
  for (const time of document.querySelectorAll('time[datetime]')) {
    const local = new Date(time.dateTime);
    if (!Number.isNaN(local.getTime())) time.title += ' = ' + local.toLocaleString();
  }
}
`.trim();
