//! Decimal digits, eight at a time: each is a byte of a word, the first one the lowest byte.
//!
//! Numbers in a list have different lengths. A loop over digits ends at another place for each of them, which the
//! processor guesses wrong; the steps here are the same for one digit as for eight.

/// Each byte of a word.
const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// The most digits that every integer of so many digits has 64 bits for.
pub(super) const MOST: usize = 19;

/// The powers of ten of 64 bits.
pub(super) const POWERS: [u64; MOST + 1] = {
    let mut powers = [1; MOST + 1];
    let mut exponent = 1;
    while exponent <= MOST {
        powers[exponent] = powers[exponent - 1] * 10;
        exponent += 1;
    }
    powers
};

/// The integer that the digits make with which the bytes begin, and how many these are. Where they are more than
/// [`MOST`], the integer means nothing.
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
    // Less than a word is left of the text.
    for digit in bytes.iter().take_while(|byte| byte.is_ascii_digit()) {
        number = number
            .wrapping_mul(10)
            .wrapping_add(u64::from(digit - b'0'));
        count += 1;
    }
    (number, count)
}

/// How many digits there are at the beginning of some bytes.
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

/// How many digits there are before a byte that is none.
#[inline]
fn digits_in(word: u64) -> usize {
    // The lowest byte that is marked is right; those above it need not be.
    let above = word.wrapping_add(ONES * (0x7f - u64::from(b'9')));
    let below = word.wrapping_sub(ONES * u64::from(b'0'));
    ((above | below) & HIGH).trailing_zeros() as usize / 8
}

/// The integer that the first `count` digits make.
#[inline]
fn number_of(word: u64, count: usize) -> u64 {
    if count == 0 {
        return 0;
    }
    // As if there were zeros in front of them. Then each two neighbours become one number, thrice.
    let digits = (word & (ONES * 0x0f)) << (64 - 8 * count);
    let pairs = (digits * 10 + (digits >> 8)) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs * 100 + (pairs >> 16)) & 0x0000_ffff_0000_ffff;
    (fours * 10_000 + (fours >> 32)) & 0xffff_ffff
}

/// The most bytes that an integer takes while it is written: its digits are written eight at a time.
const LONGEST: usize = 1 + 3 * 8;

/// Text of one integer.
pub(super) const ONE: usize = LONGEST;
/// Text of many integers, which are then copied at once.
pub(super) const MANY: usize = 256;

/// Integers that are being written, or other elements of a list that are as short.
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

    /// Appends the first `count` bytes of these. All of them are stored, which takes one step where a copy of
    /// some takes many.
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

/// The first number of more than eight digits.
const EIGHT: u64 = POWERS[8];

/// The eight digits of a number that has no more, with zeros in front.
#[inline]
fn eight(number: u64) -> u64 {
    // Each number becomes two neighbours, thrice. The multiplications divide by 100 and by 10, exactly for
    // numbers of four and of two digits.
    let fours = (number / 10_000) | ((number % 10_000) << 32);
    let hundreds = ((fours * 10_486) >> 20) & 0x0000_007f_0000_007f;
    let pairs = hundreds | ((fours - hundreds * 100) << 16);
    let tens = ((pairs * 103) >> 10) & 0x000f_000f_000f_000f;
    tens | ((pairs - tens * 10) << 8)
}
