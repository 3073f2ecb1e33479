// Owns the keyboard: which key does what, and the dialog that says so. Single keys can be switched off.

import { h, isTyping } from './dom.js';
import { icon } from './icons.js';
import { recall, remember } from '../media/memory.js';

const TABLE = [
  ['m', 'mic', 'Mute or unmute'],
  ['v', 'camera', 'Camera on or off'],
  ['s', 'screen', 'Share your screen, or stop'],
  ['c', 'chat', 'Chat'],
  ['p', 'people', 'People'],
  ['i', 'stats', 'Connection details'],
  ['f', 'fullscreen', 'Full screen'],
  ['l', 'invite', 'Copy the invitation link'],
  ['ArrowLeft', 'previousPage', 'Previous page of people'],
  ['ArrowRight', 'nextPage', 'Next page of people'],
  ['Escape', 'dismiss', 'Close what is open'],
  ['?', 'help', 'This list'],
];
const SHOWN = { ArrowLeft: '←', ArrowRight: '→', Escape: 'Esc', ' ': 'Space' };

/** Listens until `destroy`. `actions` has a function for every name in the table, and `talk(isHeld)`. */
export class Shortcuts {
  dialog;
  #actions;
  #isTalking = false;
  #listen = new AbortController();

  constructor(actions) {
    this.#actions = actions;
    this.dialog = this.#buildDialog();
    const { signal } = this.#listen;
    document.addEventListener('keydown', (event) => this.#onDown(event), { signal });
    document.addEventListener('keyup', (event) => event.key === ' ' && this.#stopTalking(), { signal });
    window.addEventListener('blur', () => this.#stopTalking(), { signal });
  }

  openHelp() {
    if (!this.dialog.open) this.dialog.showModal();
  }

  destroy() {
    this.#listen.abort();
    this.dialog.remove();
  }

  #onDown(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || this.dialog.open) return;
    if (event.key === 'Escape') return this.#actions.dismiss();
    if (isTyping(event.target) || event.target.closest?.('[role=menu]') || recall('keys', '1') === '0') return undefined;
    if (event.key === ' ') return this.#startTalking(event);
    const entry = TABLE.find(([key]) => key === event.key || key === event.key.toLowerCase());
    if (!entry) return undefined;
    event.preventDefault();
    return this.#actions[entry[1]]();
  }

  /** Space presses whatever has the focus; it is push-to-talk only when that is not a control. */
  #startTalking(event) {
    if (event.target.closest?.('button, a, summary, [role=button], [role=region]')) return;
    event.preventDefault();
    this.#isTalking = this.#actions.talk(true);
  }

  #stopTalking() {
    if (this.#isTalking) this.#actions.talk(false);
    this.#isTalking = false;
  }

  #buildDialog() {
    const rows = [...TABLE.slice(0, 1), [' ', '', 'Hold to talk while muted'], ...TABLE.slice(1)];
    const toggle = h('input', { type: 'checkbox', checked: recall('keys', '1') === '1', onchange: () => remember('keys', toggle.checked ? '1' : '0') });
    const dialog = h(
      'dialog',
      { class: 'dialog', 'aria-labelledby': 'keys-title', data: { testid: 'help-dialog' }, onclick: (event) => event.target === dialog && dialog.close() },
      h('header', {}, h('h2', { id: 'keys-title' }, 'Keyboard shortcuts'), h('button', { class: 'icon-button', type: 'button', 'aria-label': 'Close', onclick: () => dialog.close() }, icon('close'))),
      h('dl', { class: 'keys' }, rows.map(([key, , label]) => h('div', {}, h('dt', {}, h('kbd', {}, SHOWN[key] ?? key.toUpperCase())), h('dd', {}, label)))),
      h('label', { class: 'switch' }, toggle, 'Use single-key shortcuts'),
    );
    return dialog;
  }
}
