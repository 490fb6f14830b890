/** Largest encoded `ChunkBody`, bytes. One chunk always fits into the credit that a worker holds. */
export const MAX_CHUNK_BYTES = 256 * 1024;

/** Longest piece, bytes, terminator included: a longer line goes on in pieces that say `continues`. */
export const MAX_PIECE_BYTES = 64 * 1024;

/** `ChunkBody.line_flags` bits. */
export const LEVEL_BITS = 0b0000_0111;
/** Source enum number minus one, shifted by {@link SOURCE_SHIFT}. */
export const SOURCE_BITS = 0b0001_1000;
export const SOURCE_SHIFT = 3;
/** The piece goes on from the newest piece of the same source. */
export const CONTINUES_BIT = 0b0010_0000;
/** The level was detected rather than given. */
export const DETECTED_BIT = 0b0100_0000;

/** Number of levels, UNSPECIFIED included: the length of every `level_counts`. */
export const LEVEL_COUNT = 7;
/** Number of sources that are stored: the length of `carry_levels`. */
export const SOURCE_COUNT = 4;
