//! What was measured: for each figure and subject, a value per round.

use super::figures::Figure;
use super::stats::median;

/// All values.
#[derive(Clone, Debug, Default)]
pub struct Results {
    cells: Vec<Cell>,
}

#[derive(Clone, Debug)]
struct Cell {
    figure: Figure,
    subject: String,
    round: usize,
    value: f64,
}

impl Results {
    /// Writes a value down.
    pub fn add(&mut self, figure: Figure, subject: impl Into<String>, round: usize, value: f64) {
        self.cells.push(Cell {
            figure,
            subject: subject.into(),
            round,
            value,
        });
    }

    /// The figures, in the order in which they came first.
    #[must_use]
    pub fn figures(&self) -> Vec<Figure> {
        let mut seen: Vec<Figure> = Vec::new();
        for cell in &self.cells {
            if !seen.contains(&cell.figure) {
                seen.push(cell.figure.clone());
            }
        }
        seen
    }

    /// The subjects that have any of these figures, in the order in which they came first.
    #[must_use]
    pub fn subjects(&self, figures: &[Figure]) -> Vec<String> {
        let mut seen: Vec<String> = Vec::new();
        for cell in self
            .cells
            .iter()
            .filter(|cell| figures.contains(&cell.figure))
        {
            if !seen.contains(&cell.subject) {
                seen.push(cell.subject.clone());
            }
        }
        seen
    }

    /// The median of the rounds.
    #[must_use]
    pub fn value(&self, figure: &Figure, subject: &str) -> Option<f64> {
        let values: Vec<f64> = self.of(figure, subject).map(|cell| cell.value).collect();
        median(&values)
    }

    /// The least and the largest of the rounds.
    #[must_use]
    pub fn spread(&self, figure: &Figure, subject: &str) -> Option<(f64, f64)> {
        let values = || self.of(figure, subject).map(|cell| cell.value);
        let least = values().min_by(f64::total_cmp)?;
        Some((least, values().max_by(f64::total_cmp)?))
    }

    /// How a subject compares to another: the median of the ratios of each round, since what
    /// disturbs a round disturbs all that run in it.
    #[must_use]
    pub fn ratio(&self, figure: &Figure, subject: &str, to: &str) -> Option<f64> {
        self.compare(figure, subject, to, |own, other| own / other)
    }

    /// By how much a subject is above another: the median of the differences of each round.
    #[must_use]
    pub fn difference(&self, figure: &Figure, subject: &str, to: &str) -> Option<f64> {
        self.compare(figure, subject, to, |own, other| own - other)
    }

    fn compare(
        &self,
        figure: &Figure,
        subject: &str,
        to: &str,
        how: impl Fn(f64, f64) -> f64,
    ) -> Option<f64> {
        let mut compared = Vec::new();
        for cell in self.of(figure, subject) {
            let other = self.of(figure, to).find(|other| other.round == cell.round);
            compared.extend(other.map(|other| how(cell.value, other.value)));
        }
        median(&compared)
    }

    fn of<'a>(&'a self, figure: &'a Figure, subject: &'a str) -> impl Iterator<Item = &'a Cell> {
        let cells = self.cells.iter();
        cells.filter(move |cell| cell.figure == *figure && cell.subject == subject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_made_within_rounds() {
        let figure = Figure::new("unary", "p50", "us");
        let mut results = Results::default();
        for (round, (ours, theirs)) in [(1.0, 2.0), (10.0, 20.0), (3.0, 4.0)].iter().enumerate() {
            results.add(figure.clone(), "ours", round, *ours);
            results.add(figure.clone(), "theirs", round, *theirs);
        }
        assert_eq!(results.value(&figure, "ours"), Some(3.0));
        assert_eq!(results.spread(&figure, "ours"), Some((1.0, 10.0)));
        assert_eq!(results.ratio(&figure, "ours", "theirs"), Some(0.5));
        assert_eq!(results.difference(&figure, "ours", "theirs"), Some(-1.0));
        assert_eq!(results.ratio(&figure, "ours", "nobody"), None);
    }
}
