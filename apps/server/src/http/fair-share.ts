/**
 * When a call was given so much, all others are heard before it is given more. What a worker may have on its way, a megabyte and more, can come
 * in a single turn of the event loop, and to look at each of its lines takes longer than an acknowledgement should.
 */
const portionBytes = 64 * 1024;
/** A call that takes longer than this for a portion, milliseconds, is no flood. */
const floodMs = 25;
/** For so long after a call was heard it counts as one who speaks, or floods, milliseconds. */
const recentMs = 1_000;
/** A flood beside others rests so many times as long as it took to be heard. */
const restFactor = 4;
/** And so long at most, milliseconds: one that prints much, but steadily, must not wait for its own pace. */
const longestRestMs = 10;

/** What one call has of a {@link FairShare}. */
export interface Share {
  /** The call was given a message of so many bytes. True: it rests until `goOn` is called. */
  take(bytes: number, goOn: () => void): boolean;
}

/**
 * Shares the event loop among the calls of a method. One that floods beside others who speak now and then rests after each portion, so that
 * their lines find the loop and the disk at rest, too. On its own, or among floods only, it is heard as much as it likes.
 */
export class FairShare {
  /** The call that was heard last without being a flood, and when. */
  #quiet: Share | undefined;
  #quietAt = -Infinity;

  /** A call's part. */
  join(): Share {
    let given = 0;
    let begunAt = performance.now();
    let floodedAt = -Infinity;
    const share: Share = {
      take: (bytes, goOn) => {
        const now = performance.now();
        given += bytes;
        if (given < portionBytes) {
          if (now - floodedAt > recentMs) {
            this.#quiet = share;
            this.#quietAt = now;
          }
          return false;
        }
        const took = now - begunAt;
        const floods = took < floodMs;
        if (floods) floodedAt = now;
        const resume = () => {
          given = 0;
          begunAt = performance.now();
          goOn();
        };
        if (floods && this.#quiet !== share && now - this.#quietAt < recentMs)
          setTimeout(resume, Math.min(took * restFactor, longestRestMs));
        else setImmediate(resume);
        return true;
      },
    };
    return share;
  }
}
