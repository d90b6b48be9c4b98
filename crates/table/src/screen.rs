use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// The size of a small screen, in characters and lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    columns: usize,
    rows: usize,
}

impl Screen {
    /// A screen of so many characters by so many lines; at least 16 by 3, below which a document cannot be read.
    #[must_use]
    pub fn new(columns: usize, rows: usize) -> Self {
        Self { columns: columns.max(16), rows: rows.max(3) }
    }

    /// Lays out fields: each on new lines, its name before it, pages numbered. Empty fields are shown as empty.
    pub(crate) fn pages(self, fields: &[(&str, String)]) -> Vec<Page> {
        let mut lines = Vec::new();
        for (name, value) in fields {
            self.field(&mut lines, name, value);
        }
        // The last row says which page of how many, so that none is taken for the whole.
        let per_page = self.rows.saturating_sub(1).max(1);
        let pages = lines.chunks(per_page);
        let of = pages.len();
        pages
            .enumerate()
            .map(|(index, lines)| Page { lines: lines.to_vec(), number: index.saturating_add(1), of })
            .collect()
    }

    fn field(self, lines: &mut Vec<String>, name: &str, value: &str) {
        let mut line = format!("{name}: ");
        let mut width = line.len();
        for c in value.chars() {
            let shown = show(c);
            let wide = columns(&shown);
            if width.saturating_add(wide) > self.columns {
                // What goes on is set in, so that no value can begin a line that looks like a field.
                lines.push(core::mem::replace(&mut line, "  ".to_owned()));
                width = 2;
            }
            line.push_str(&shown);
            width = width.saturating_add(wide);
        }
        lines.push(line);
    }
}

impl Default for Screen {
    /// 32 characters by 8 lines.
    fn default() -> Self {
        Self::new(32, 8)
    }
}

/// One page of a document.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Page {
    /// Its lines, from the top.
    pub lines: Vec<String>,
    /// Which page this is, from 1.
    pub number: usize,
    /// Of how many.
    pub of: usize,
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in &self.lines {
            writeln!(f, "{line}")?;
        }
        write!(f, "({} of {})", self.number, self.of)
    }
}

/// Characters that are shown by number: first and last of each range (`docs/approval.md` says why each).
const SHOWN_BY_NUMBER: &[(u32, u32)] = &[
    (0x00, 0x1F),          // C0 controls
    (0x7F, 0xA0),          // delete, C1 controls, the space that does not break
    (0xAD, 0xAD),          // soft hyphen
    (0x300, 0x36F),        // combining marks, which pile up over others
    (0x590, 0x8FF),        // right-to-left scripts: order on the screen would not be the order signed
    (0x1160, 0x11FF),      // Hangul vowels and finals, and their invisible fillers
    (0x1680, 0x1680),      // a space that looks like a dash
    (0x180B, 0x180F),      // Mongolian variation selectors and vowel separator
    (0x1AB0, 0x1AFF),      // combining marks
    (0x1DC0, 0x1DFF),      // combining marks
    (0x2000, 0x200F),      // spaces of other widths, zero-width characters, direction marks
    (0x2028, 0x202F),      // line and paragraph separators, embeddings and overrides
    (0x205F, 0x206F),      // invisible operators, isolates
    (0x20D0, 0x20FF),      // combining marks for symbols
    (0x2800, 0x2800),      // the empty Braille pattern
    (0x3000, 0x3000),      // wide space
    (0x3164, 0x3164),      // Hangul filler
    (0xE000, 0xF8FF),      // private use
    (0xFB1D, 0xFDFF),      // right-to-left presentation forms
    (0xFE00, 0xFE0F),      // variation selectors
    (0xFE20, 0xFE2F),      // combining half marks
    (0xFE70, 0xFEFF),      // right-to-left presentation forms, byte order mark
    (0xFFA0, 0xFFA0),      // half-width Hangul filler
    (0xFFF0, 0xFFFF),      // specials
    (0x1_0800, 0x1_0FFF),  // right-to-left scripts
    (0x1_1000, 0x1_6FFF),  // scripts whose marks combine
    (0x1_BC00, 0x1_BCAF),  // shorthand and its format controls
    (0x1_D100, 0x1_D1FF),  // musical symbols and their format controls
    (0x1_E000, 0x1_EFFF),  // right-to-left and combining scripts
    (0xE_0000, 0x10_FFFF), // tags, variation selectors, private use
];

/// A character as itself, or as `<U+202E>` where a screen would obey it, hide it or misplace it. `<` itself is doubled
/// so that nobody can write what looks like a number.
fn show(c: char) -> String {
    let code = u32::from(c);
    if SHOWN_BY_NUMBER.iter().any(|&(first, last)| (first..=last).contains(&code)) {
        format!("<U+{code:04X}>")
    } else if c == '<' {
        "<<".to_owned()
    } else {
        String::from(c)
    }
}

/// The columns that some text takes: East Asian wide characters and pictographs take two.
fn columns(text: &str) -> usize {
    const WIDE: &[(u32, u32)] = &[
        (0x1100, 0x115F),
        (0x2E80, 0xA4CF),
        (0xAC00, 0xD7A3),
        (0xF900, 0xFAFF),
        (0xFE30, 0xFE6F),
        (0xFF00, 0xFF60),
        (0xFFE0, 0xFFE6),
        (0x1_F300, 0x1_FAFF),
        (0x2_0000, 0x3_FFFF),
    ];
    let wide = |c: char| WIDE.iter().any(|&(first, last)| (first..=last).contains(&u32::from(c)));
    text.chars().fold(0, |sum: usize, c| sum.saturating_add(if wide(c) { 2 } else { 1 }))
}
