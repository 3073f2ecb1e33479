// Owns the list of people: who is here, what they share, how well they are connected.

import { h, hueOf, initialsOf, setAttribute, setText } from './dom.js';
import { bars, icon, setIcon } from './icons.js';
import { hasMicMuted } from './tiles.js';

const LEVELS = { LOST: 0, POOR: 1, GOOD: 2, EXCELLENT: 3 };

export class PeoplePanel {
  element;
  #conference;
  #rows = new Map();
  #list = h('ul', { class: 'people', 'aria-label': 'People in this meeting', data: { testid: 'people-list' } });

  constructor(conference, onInvite) {
    this.#conference = conference;
    const invite = h('button', { class: 'secondary', type: 'button', onclick: onInvite, data: { testid: 'people-invite' } }, icon('link'), 'Copy invitation link');
    this.element = h('div', { class: 'people-panel', data: { testid: 'people-panel' } }, invite, this.#list);
    this.render();
  }

  focus() {
    this.element.querySelector('button').focus({ preventScroll: true });
  }

  render() {
    const everyone = this.#conference.roster.all().filter(({ permission }) => !permission?.isHidden);
    const identities = new Set(everyone.map(({ identity }) => identity));
    for (const [identity, row] of this.#rows) {
      if (identities.has(identity)) continue;
      row.element.remove();
      this.#rows.delete(identity);
    }
    everyone.forEach((participant, index) => {
      const row = this.#rows.get(participant.identity) ?? this.#addRow(participant.identity);
      if (this.#list.children[index] !== row.element) this.#list.insertBefore(row.element, this.#list.children[index] ?? null);
      this.#fill(row, participant);
    });
  }

  #addRow(identity) {
    const row = {
      avatar: h('span', { class: 'avatar', 'aria-hidden': 'true' }),
      name: h('span', { class: 'person-name' }),
      screen: icon('screen'),
      mic: icon('mic'),
      camera: icon('camera'),
      bars: bars(),
      words: h('span', { class: 'sr-only' }),
    };
    row.avatar.style.setProperty('--hue', hueOf(identity));
    row.element = h('li', { class: 'person', data: { identity, testid: 'person' } }, row.avatar, row.name, row.screen, row.bars, row.mic, row.camera, row.words);
    this.#rows.set(identity, row);
    return row;
  }

  #fill(row, participant) {
    const isMe = participant === this.#conference.roster.me;
    const has = (source) => participant.tracks.some((track) => track.source === source && !track.isMuted);
    const isMicMuted = isMe ? !this.#conference.isOn('MICROPHONE') : hasMicMuted(participant);
    const isCameraOn = isMe ? this.#conference.isOn('CAMERA') : has('CAMERA') || has('UNKNOWN');
    const isSharing = isMe ? Boolean(this.#conference.screenTrack) : has('SCREEN_SHARE');
    setText(row.avatar, initialsOf(participant.name));
    setText(row.name, isMe ? `${participant.name} (you)` : participant.name);
    setIcon(row.mic, isMicMuted ? 'micOff' : 'mic');
    setIcon(row.camera, isCameraOn ? 'camera' : 'cameraOff');
    setAttribute(row.mic, 'data-off', isMicMuted);
    setAttribute(row.camera, 'data-off', !isCameraOn);
    row.screen.toggleAttribute('hidden', !isSharing);
    row.bars.dataset.level = LEVELS[participant.quality] ?? 3;
    row.element.classList.toggle('speaking', participant.isSpeaking);
    const words = [isMicMuted ? 'microphone muted' : 'microphone on', isCameraOn ? 'camera on' : 'camera off', isSharing && 'sharing a screen'];
    setText(row.words, words.filter(Boolean).join(', '));
  }
}
