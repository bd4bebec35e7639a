// Never more than one call in flight; of the values that came meanwhile only the last is worked on.

/**
 * work: an async function of a value. Returns a function that takes values as fast as they come: it calls `work` with
 * the first, and, each time a call has ended, with the newest of those that arrived since. The last value is always
 * worked on. What `work` throws goes to `failed`.
 */
export function coalesce(work, failed = (error) => console.error(error)) {
  let busy = false;
  let waiting = null;
  return async function take(value) {
    waiting = {value};
    if (busy) return;
    busy = true;
    while (waiting) {
      const {value: newest} = waiting;
      waiting = null;
      try {
        await work(newest);
      } catch (error) {
        failed(error);
      }
    }
    busy = false;
  };
}
