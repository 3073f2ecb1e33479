// Owns the notice at the top of the stage: reconnecting, back again, sound waiting for a click.

import { h, setText } from './dom.js';

const WORDS = { resuming: 'Connection interrupted. Reconnecting…', reconnecting: 'Rejoining the meeting…' };
const BACK_MS = 2500;

export class Banner {
  element;
  #text = h('span', {});
  #action = h('button', { class: 'banner-action', type: 'button', hidden: true });
  #timer;
  #wasInterrupted = false;

  constructor() {
    this.element = h('div', { class: 'banner', role: 'status', hidden: true, data: { testid: 'banner' } }, h('i', { class: 'spinner', 'aria-hidden': 'true' }), this.#text, this.#action);
  }

  showState(state) {
    clearTimeout(this.#timer);
    if (WORDS[state]) {
      this.#wasInterrupted = true;
      this.#show(state, WORDS[state]);
    } else if (state === 'connected' && this.#wasInterrupted) {
      this.#wasInterrupted = false;
      this.#show('back', 'You are back');
      this.#timer = setTimeout(() => this.hide(), BACK_MS);
    }
  }

  askForSound(onClick) {
    if (this.#wasInterrupted) return;
    this.#show('sound', 'Your browser is holding back the sound.');
    setText(this.#action, 'Turn sound on');
    this.#action.onclick = onClick;
    this.#action.hidden = false;
  }

  hide() {
    this.element.hidden = true;
  }

  #show(kind, words) {
    this.element.dataset.kind = kind;
    this.#action.hidden = true;
    setText(this.#text, words);
    this.element.hidden = false;
  }
}
