// Owns what is said to the person besides the picture: toasts, and the live region for screen readers.

import { h } from './dom.js';
import { icon } from './icons.js';

const SHOWN_MS = { info: 4500, error: 8000 };
const MOST = 3;

const toasts = h('div', { class: 'toasts', data: { testid: 'toasts' } });
const spoken = h('div', { class: 'sr-only', role: 'status', 'aria-live': 'polite', data: { testid: 'live-region' } });

export function mountAnnouncements(host) {
  host.append(toasts, spoken);
}

/** Says `sentence` to screen readers only. */
export function announce(sentence) {
  spoken.textContent = '';
  // A region that is emptied and filled in one go is not read.
  setTimeout(() => {
    spoken.textContent = sentence;
  }, 50);
}

/** Shows `sentence` for a while; `tone` is "info" or "error". */
export function toast(sentence, tone = 'info') {
  const same = [...toasts.children].find((element) => element.dataset.sentence === sentence);
  same?.remove();
  while (toasts.children.length >= MOST) toasts.firstChild.remove();
  const element = h(
    'div',
    { class: `toast toast-${tone}`, role: tone === 'error' ? 'alert' : 'status', data: { sentence, testid: 'toast' } },
    icon(tone === 'error' ? 'warning' : 'notice'),
    h('p', {}, sentence),
    h('button', { class: 'icon-button small', type: 'button', 'aria-label': 'Dismiss', onclick: () => element.remove() }, icon('close')),
  );
  toasts.append(element);
  setTimeout(() => element.remove(), SHOWN_MS[tone]);
}
