//! Tables in Markdown, and the numbers in them.

/// What stands where nothing could be measured.
pub const NOTHING: &str = "–";

/// A ratio, or a part of one.
pub fn share(value: Option<f64>) -> String {
    value.map_or(NOTHING.to_owned(), |value| format!("{value:.2}"))
}

/// A number with about three digits that say something.
pub fn number(value: Option<f64>) -> String {
    match value {
        None => NOTHING.to_owned(),
        Some(value) if value < 1.0 => format!("{value:.3}"),
        Some(value) if value < 10.0 => format!("{value:.2}"),
        Some(value) if value < 100.0 => format!("{value:.1}"),
        Some(value) => grouped(value.round() as u64),
    }
}

/// 1234567 as 1,234,567.
pub fn grouped(number: u64) -> String {
    match number {
        0..1000 => number.to_string(),
        _ => format!("{},{:03}", grouped(number / 1000), number % 1000),
    }
}

/// A table in Markdown.
pub struct Table {
    rows: Vec<Vec<String>>,
    /// Columns of words, which stand to the left; the others are numbers.
    words: usize,
}

impl Table {
    /// A table of these columns, of which the first `words` are words.
    pub fn new(words: usize, columns: &[&str]) -> Self {
        Self {
            rows: vec![columns.iter().map(|&column| column.to_owned()).collect()],
            words,
        }
    }

    /// Adds a row.
    pub fn add(&mut self, cells: Vec<String>) {
        self.rows.push(cells);
    }

    /// The table under its title, or nothing if it has no rows.
    pub fn render(&self, title: &str) -> String {
        let [head, body @ ..] = &self.rows[..] else {
            return String::new();
        };
        if body.is_empty() {
            return String::new();
        }
        let widths: Vec<usize> = (0..head.len()).map(|column| self.width(column)).collect();
        let mut lines = vec![
            format!("### {title}\n"),
            self.line(head, &widths),
            self.rule(&widths),
        ];
        lines.extend(body.iter().map(|row| self.line(row, &widths)));
        lines.join("\n") + "\n\n"
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    }

    fn line(&self, cells: &[String], widths: &[usize]) -> String {
        let cells = cells.iter().zip(widths).enumerate();
        let padded = cells.map(|(column, (cell, width))| match column < self.words {
            true => format!(" {cell:<width$} |"),
            false => format!(" {cell:>width$} |"),
        });
        "|".to_owned() + &padded.collect::<String>()
    }

    /// The line below the head, which says to Markdown where the cells stand.
    fn rule(&self, widths: &[usize]) -> String {
        let dashes = widths
            .iter()
            .enumerate()
            .map(|(column, width)| match column < self.words {
                true => "-".repeat(*width),
                false => "-".repeat(width - 1) + ":",
            });
        self.line(&dashes.collect::<Vec<_>>(), widths)
    }
}
