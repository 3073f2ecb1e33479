// Owns building elements. Text is always set as text, never parsed as HTML.

/**
 * An element. `props`: "class", "data" (dataset), "onclick" and other on-handlers, properties
 * that exist on elements (value, disabled, hidden, …), anything else as an attribute.
 */
export function h(tag, props = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) setProp(element, name, value);
  element.append(...children.flat().filter((child) => child !== undefined && child !== null && child !== false));
  return element;
}

const PROPERTIES = new Set(['value', 'disabled', 'hidden', 'checked', 'autoplay', 'playsInline', 'muted', 'tabIndex', 'textContent', 'htmlFor']);

function setProp(element, name, value) {
  if (value === undefined || value === null) return;
  if (name === 'class') element.className = value;
  else if (name === 'data') Object.assign(element.dataset, value);
  else if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
  else if (PROPERTIES.has(name)) element[name] = value;
  else element.setAttribute(name, value === true ? '' : value);
}

/** Sets text only when it differs, so that screen readers and selections are left alone. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setAttribute(element, name, value) {
  if (value === undefined || value === null || value === false) element.removeAttribute(name);
  else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value);
}

/** Shows `track` in a video element; nothing happens when it already does. */
export function showTrack(video, track) {
  const shown = video.srcObject?.getVideoTracks()[0];
  if (shown === track) return;
  video.srcObject = track ? new MediaStream([track]) : null;
  if (track) video.play().catch(() => {});
}

export const isTyping = (target) => Boolean(target?.closest?.('input, textarea, select, [contenteditable]'));

export function initialsOf(name) {
  const words = name.trim().split(/[\s._-]+/).filter(Boolean);
  const letters = words.length > 1 ? [words[0], words.at(-1)].map((word) => [...word][0]) : [...(words[0] ?? '?')].slice(0, 2);
  return letters.join('').toUpperCase();
}

/** A stable hue for an identity, from a set that stays apart for the eye. */
export function hueOf(identity) {
  let hash = 7;
  for (const char of identity) hash = (hash * 31 + char.codePointAt(0)) >>> 0;
  return HUES[hash % HUES.length];
}

const HUES = [18, 42, 86, 150, 178, 204, 232, 262, 292, 332];

export function formatDuration(ms) {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const parts = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  const shown = parts[0] > 0 ? parts : parts.slice(1);
  return shown.map((part, index) => (index === 0 ? String(part) : String(part).padStart(2, '0'))).join(':');
}
