//! Memory that is needed soon, asked for ahead, so that it is in the cache when its turn comes: what a packet touches of a
//! subscriber lies in many places that nothing touched since the packet before. Nothing is read, and nothing waits.

use prefetch_index::prefetch_index;

/// Asks for the line of the cache in which a value begins.
pub(crate) fn fetch<T>(value: &T) {
    prefetch_index(std::slice::from_ref(value), 0);
}

/// Asks for the line of the cache in which an element begins.
pub(crate) fn fetch_at<T>(values: &[T], index: usize) {
    prefetch_index(values, index);
}
