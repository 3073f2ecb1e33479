// Owns what the page remembers between visits. Works, without memory, where storage is blocked.

const PREFIX = 'plenum.';

export function recall(key, fallback = '') {
  try {
    return localStorage.getItem(PREFIX + key) ?? fallback;
  } catch {
    return fallback;
  }
}

/** Stores and returns `value`. */
export function remember(key, value) {
  try {
    localStorage.setItem(PREFIX + key, value);
  } catch {
    // Nothing depends on it.
  }
  return value;
}
