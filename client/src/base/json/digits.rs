//! Decimal digits, eight at a time: each is a byte of a word, the first one the lowest byte.
//!
//! Numbers in a list have different lengths. A loop over digits ends after another number of steps for each of
//! them, which the processor predicts wrongly. The steps here are the same for one digit as for eight.

/// Each byte of a word.
const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// The greatest number of digits with which every integer fits 64 bits.
pub(super) const MOST: usize = 19;

/// The powers of ten that fit 64 bits.
pub(super) const POWERS: [u64; MOST + 1] = {
    let mut powers = [1; MOST + 1];
    let mut exponent = 1;
    while exponent <= MOST {
        powers[exponent] = powers[exponent - 1] * 10;
        exponent += 1;
    }
    powers
};

/// The integer at the beginning of the bytes, and its number of digits. If these are more than [`MOST`], the
/// integer is meaningless.
#[inline]
pub(super) fn leading(mut bytes: &[u8]) -> (u64, usize) {
    let (mut number, mut count) = (0_u64, 0);
    while let Some((word, rest)) = bytes.split_first_chunk() {
        let word = u64::from_le_bytes(*word);
        let more = digits_in(word);
        number = number.wrapping_mul(POWERS[more]);
        number = number.wrapping_add(number_of(word, more));
        count += more;
        if more < 8 {
            return (number, count);
        }
        bytes = rest;
    }
    // Less than a word of text is left.
    for digit in bytes.iter().take_while(|byte| byte.is_ascii_digit()) {
        number = number
            .wrapping_mul(10)
            .wrapping_add(u64::from(digit - b'0'));
        count += 1;
    }
    (number, count)
}

/// The number of digits at the beginning of the bytes.
#[inline]
pub(super) fn count(bytes: &[u8]) -> usize {
    let (words, _) = bytes.as_chunks::<8>();
    let mut count = 0;
    for word in words {
        let more = digits_in(u64::from_le_bytes(*word));
        count += more;
        if more < 8 {
            return count;
        }
    }
    let rest = bytes.get(count..).unwrap_or(&[]);
    count + rest.iter().take_while(|byte| byte.is_ascii_digit()).count()
}

/// The number of digits before the first byte that is none.
#[inline]
fn digits_in(word: u64) -> usize {
    // The lowest marked byte is right; those above it need not be.
    let above = word.wrapping_add(ONES * (0x7f - u64::from(b'9')));
    let below = word.wrapping_sub(ONES * u64::from(b'0'));
    ((above | below) & HIGH).trailing_zeros() as usize / 8
}

/// The integer of the first `count` digits.
#[inline]
fn number_of(word: u64, count: usize) -> u64 {
    if count == 0 {
        return 0;
    }
    // Shifted as if there were zeros in front. Then two neighbours become one number, three times.
    let digits = (word & (ONES * 0x0f)) << (64 - 8 * count);
    let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    (fours * 10_000 + (fours >> 32)) & 0xffff_ffff
}

/// The most bytes that writing an integer takes: digits are written eight at a time.
const LONGEST: usize = 1 + 3 * 8;

/// The length of a buffer for one integer, in bytes.
pub(super) const ONE: usize = LONGEST;
/// The length of a buffer for many integers, which are then copied at once, in bytes.
pub(super) const MANY: usize = 256;

/// Text of integers that are being written, or of other list elements that are as short.
pub(super) struct Digits<const N: usize> {
    text: [u8; N],
    len: usize,
}

impl<const N: usize> Digits<N> {
    #[inline]
    pub(super) fn new() -> Digits<N> {
        Digits {
            text: [0; N],
            len: 0,
        }
    }

    #[inline]
    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    #[inline]
    pub(super) fn bytes(&self) -> &[u8] {
        self.text.get(..self.len).unwrap_or(&[])
    }

    /// Whether a comma and another integer fit.
    #[inline]
    pub(super) fn has_room(&self) -> bool {
        self.len + 8 + LONGEST <= N
    }

    /// Appends the first `count` bytes. All eight are stored, because that is one step, and copying some of them is
    /// many.
    #[inline]
    pub(super) fn push(&mut self, bytes: [u8; 8], count: usize) {
        let behind = self.text.get_mut(self.len..);
        if let Some(behind) = behind.and_then(<[u8]>::first_chunk_mut) {
            *behind = bytes;
            self.len += count;
        }
    }

    /// Appends an integer.
    #[inline]
    pub(super) fn integer(&mut self, is_negative: bool, magnitude: u64) {
        self.push(*b"-       ", usize::from(is_negative));
        if magnitude >= EIGHT {
            return self.long(magnitude);
        }
        self.short(magnitude);
    }

    /// Appends a number of up to eight digits.
    #[inline]
    fn short(&mut self, number: u64) {
        let digits = eight(number);
        // Zero has one digit, too.
        let zeros = (digits.trailing_zeros() / 8).min(7);
        let text = (digits | (ONES * u64::from(b'0'))) >> (8 * zeros);
        self.push(text.to_le_bytes(), 8 - zeros as usize);
    }

    /// Appends a number of more than eight digits.
    #[inline]
    fn long(&mut self, number: u64) {
        let above = number / EIGHT;
        match above >= EIGHT {
            true => {
                self.short(above / EIGHT);
                self.full(above % EIGHT);
            }
            false => self.short(above),
        }
        self.full(number % EIGHT);
    }

    /// Appends eight digits.
    #[inline]
    fn full(&mut self, number: u64) {
        let text = eight(number) | (ONES * u64::from(b'0'));
        self.push(text.to_le_bytes(), 8);
    }
}

/// The smallest number with more than eight digits.
const EIGHT: u64 = POWERS[8];

/// The eight digits of a number that has no more, with leading zeros.
#[inline]
fn eight(number: u64) -> u64 {
    // Each number becomes two neighbours, three times. The multiplications divide by 100 and by 10, exactly for
    // numbers of four and of two digits.
    let fours = (number / 10_000) | ((number % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let pairs = hundreds | ((fours - hundreds * 100) << 16);
    let tens = ((pairs * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | ((pairs - tens * 10) << 8)
}
