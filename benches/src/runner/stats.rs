//! Numbers made of many.

use hdrhistogram::Histogram;
use serde_json::Value;

use crate::Failure;

/// The middle value; none of nothing.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    if sorted.len() % 2 == 1 {
        return Some(upper);
    }
    let lower = *sorted.get(sorted.len() / 2 - 1)?;
    Some((lower + upper) / 2.0)
}

/// The distribution of the samples in an answer, in nanoseconds, to three digits.
///
/// # Errors
/// If they are no numbers.
pub fn histogram(samples: &Value) -> Result<Histogram<u64>, Failure> {
    let mut histogram = Histogram::new(3)?;
    for sample in samples.as_array().ok_or("no samples")? {
        histogram.record(sample.as_u64().ok_or("a sample that is no number")?)?;
    }
    Ok(histogram)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_percentiles() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        let samples: Vec<u64> = (1..=1000).collect();
        let histogram = histogram(&samples.into()).expect("numbers");
        assert_eq!(histogram.value_at_quantile(0.5), 500);
        assert_eq!(histogram.value_at_quantile(0.99), 990);
    }
}
