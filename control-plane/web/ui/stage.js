// Owns the tiles on screen: which are shown, where, how large, and telling the conference so.

import { h, setAttribute, setText } from './dom.js';
import { icon } from './icons.js';
import { Tile } from './tile.js';
import { describeTiles } from './tiles.js';
import { gridLayout, pageCapacity, paginate, spotlightLayout } from './layout.js';

const PAGER_HEIGHT = 50;

export class Stage {
  element;
  #conference;
  #tiles = new Map();
  #canvas = h('div', { class: 'canvas' });
  #more = h('button', { class: 'more-tile', type: 'button', hidden: true, data: { testid: 'more-tile' } });
  #pager = {};
  #order = [];
  #page = 0;
  #pinned;
  #dismissed = new Set();
  #observer = new ResizeObserver(() => this.render());

  #onWhy;

  /** `solo` is shown while nobody else is here; `onMore` opens the list of people; `onWhy` explains a tile. */
  constructor(conference, solo, onMore, onWhy) {
    this.#conference = conference;
    this.#onWhy = onWhy;
    this.#more.addEventListener('click', onMore);
    this.#buildPager();
    this.solo = solo;
    this.#canvas.append(this.#more);
    this.element = h('main', { class: 'stage', 'aria-label': 'Participants', data: { testid: 'stage' } }, h('h1', { class: 'sr-only' }, 'Meeting'), this.#canvas, this.#pager.element, solo);
    this.#observer.observe(this.element);
    this.#canvas.addEventListener('pointerdown', (event) => this.#startSwipe(event));
  }

  destroy() {
    this.#observer.disconnect();
    for (const tile of this.#tiles.values()) tile.destroy();
  }

  /** Gives the tile `key` the spotlight, or takes it away. */
  togglePin(key) {
    if (this.#spotlightKey() === key) {
      this.#pinned = undefined;
      this.#dismissed.add(key);
    } else {
      this.#pinned = key;
      this.#dismissed.delete(key);
    }
    this.render();
  }

  turnPage(step) {
    this.#page += step;
    this.render();
  }

  /** For tests and support: what each tile shows now. */
  describe() {
    return [...this.#tiles].map(([key, { element, video }]) => ({
      key,
      identity: element.dataset.identity,
      kind: element.dataset.kind,
      trackSid: element.dataset.track,
      isVisible: !element.hidden,
      isLarge: element.classList.contains('large'),
      hasVideo: element.dataset.video === 'on',
      isSpeaking: element.classList.contains('speaking'),
      isMicMuted: element.dataset.mic === 'off',
      width: element.clientWidth,
      height: element.clientHeight,
      videoWidth: video.videoWidth,
      videoHeight: video.videoHeight,
    }));
  }

  render() {
    const views = this.#arrange(describeTiles(this.#conference));
    this.views = views;
    this.#syncTiles(views);
    const spotlight = this.#spotlightKey();
    const area = this.#area();
    if (area.width <= 0) return;
    this.element.classList.toggle('spotlit', Boolean(spotlight));
    const placed = spotlight ? this.#placeSpotlight(views, spotlight, area) : this.#placeGrid(views, area);
    for (const view of views) {
      const tile = this.#tiles.get(view.key);
      tile.show(view, view.key === spotlight);
      const box = placed.get(view.key);
      if (box) tile.place(box);
      else tile.hide();
    }
    this.solo.hidden = views.some(({ isMe }) => !isMe) || this.#conference.state !== 'connected';
    this.#reportSizes(views, placed);
  }

  #area() {
    const { clientWidth: width, clientHeight: height } = this.element;
    return { width, height, gap: Math.min(width, height) < 480 ? 6 : 10 };
  }

  #placeGrid(views, whole) {
    const isPaged = views.length > pageCapacity(whole);
    const area = isPaged ? { ...whole, height: whole.height - PAGER_HEIGHT } : whole;
    const { pages, perPage } = paginate(views.length, pageCapacity(area));
    this.#page = Math.min(Math.max(0, this.#page), pages - 1);
    this.#promoteSpeakers(views, perPage);
    const shown = views.slice(this.#page * perPage, (this.#page + 1) * perPage);
    this.#showPager(pages);
    this.#more.hidden = true;
    const boxes = gridLayout({ ...area, count: shown.length });
    return new Map(shown.map(({ key }, index) => [key, boxes[index]]));
  }

  #placeSpotlight(views, key, area) {
    this.#showPager(1);
    const others = views.filter((view) => view.key !== key).sort((a, b) => b.spokeAt - a.spokeAt || a.isMe - b.isMe);
    const { main, strip } = spotlightLayout({ ...area, others: others.length });
    const isShort = others.length > strip.length;
    const shown = others.slice(0, isShort ? strip.length - 1 : strip.length);
    this.#more.hidden = !isShort;
    if (isShort) {
      const { x, y, width, height } = strip.at(-1);
      this.#more.style.transform = `translate(${x}px, ${y}px)`;
      this.#more.style.width = `${width}px`;
      this.#more.style.height = `${height}px`;
      const count = others.length - shown.length;
      setText(this.#more, `+${count}`);
      setAttribute(this.#more, 'aria-label', `${count} more people: show all`);
    }
    return new Map([[key, main], ...shown.map((view, index) => [view.key, strip[index]])]);
  }

  /** Keeps the order stable from one look to the next; newcomers go last. */
  #arrange(views) {
    const byKey = new Map(views.map((view) => [view.key, view]));
    this.#order = this.#order.filter((key) => byKey.has(key));
    for (const { key } of views) if (!this.#order.includes(key)) this.#order.push(key);
    return this.#order.map((key) => byKey.get(key));
  }

  /** Whoever speaks on a later page takes the place, on the first, of whoever was silent longest. */
  #promoteSpeakers(views, perPage) {
    for (let index = perPage; index < views.length; index += 1) {
      if (!views[index].isSpeaking) continue;
      const first = views.slice(0, perPage);
      const silent = first.filter((view) => !view.isMe && !view.isSpeaking).sort((a, b) => a.spokeAt - b.spokeAt)[0];
      if (!silent) return;
      const at = views.indexOf(silent);
      [views[at], views[index]] = [views[index], views[at]];
      [this.#order[at], this.#order[index]] = [this.#order[index], this.#order[at]];
    }
  }

  #spotlightKey() {
    const keys = new Set(this.views?.map(({ key }) => key));
    if (keys.has(this.#pinned)) return this.#pinned;
    const screen = this.views?.findLast(({ key, kind, isMe }) => kind === 'screen' && !isMe && !this.#dismissed.has(key));
    return screen?.key;
  }

  #syncTiles(views) {
    const keys = new Set(views.map(({ key }) => key));
    for (const [key, tile] of this.#tiles) {
      if (keys.has(key)) continue;
      tile.destroy();
      this.#tiles.delete(key);
      this.#dismissed.delete(key);
    }
    for (const { key } of views) {
      if (this.#tiles.has(key)) continue;
      const tile = new Tile(() => this.togglePin(key), () => this.#onWhy(this.views.find((view) => view.key === key)));
      this.#tiles.set(key, tile);
      this.#canvas.insertBefore(tile.element, this.#more);
    }
  }

  #reportSizes(views, placed) {
    const sizes = new Map();
    for (const { key, isMe, trackSid } of views) {
      if (isMe || !trackSid) continue;
      const box = placed.get(key);
      const scale = window.devicePixelRatio || 1;
      const isPinned = key === this.#pinned;
      sizes.set(trackSid, box && { width: Math.round(box.width * scale), height: Math.round(box.height * scale), isPinned });
    }
    this.#conference.adaptive.update(sizes);
  }

  #buildPager() {
    const arrow = (name, step, label) =>
      h('button', { class: `icon-button page-${name}`, type: 'button', 'aria-label': label, onclick: () => this.turnPage(step), data: { testid: `page-${name}` } }, icon(name));
    const left = arrow('left', -1, 'Previous page');
    const right = arrow('right', 1, 'Next page');
    const count = h('span', { class: 'page-count', role: 'status' });
    this.#pager = { left, right, count, element: h('nav', { class: 'pager', 'aria-label': 'Pages of participants', hidden: true }, left, count, right) };
  }

  #showPager(pages) {
    const { element, left, right, count } = this.#pager;
    element.hidden = pages < 2;
    left.disabled = this.#page === 0;
    right.disabled = this.#page >= pages - 1;
    setText(count, `${this.#page + 1} / ${pages}`);
  }

  #startSwipe(start) {
    if (start.pointerType !== 'touch') return;
    const finish = (end) => {
      const [dx, dy] = [end.clientX - start.clientX, end.clientY - start.clientY];
      if (Math.abs(dx) > 60 && Math.abs(dx) > 2 * Math.abs(dy)) this.turnPage(dx < 0 ? 1 : -1);
    };
    window.addEventListener('pointerup', finish, { once: true });
  }
}
