//! Measuring how much is done in a time.

use crate::Failure;
use crate::orders::Order;

use super::figures::Figure;
use super::plan::{CALLERS, LARGE, Outcome, Plan};
use super::proc::Placement;
use super::session::{Session, number};
use super::subject::Subject;

/// Bytes of the payload of the smallest calls.
const SMALL: usize = 16;

impl Plan {
    pub(super) fn throughput(
        &self,
        subject: Subject,
        placement: Placement,
        round: usize,
        outcome: &mut Outcome,
    ) -> Result<(), Failure> {
        for size in [SMALL, 1 << 10, LARGE] {
            // Programs of its own for each size: what an allocator has learned from one size can
            // halve or double the rate of the next.
            let mut session = self.session(subject, placement)?;
            session.launch()?;
            let Some(rate) = self.rate(&mut session, size, CALLERS)? else {
                return Ok(());
            };
            let figure = Figure::load(size, CALLERS, placement);
            outcome
                .results
                .add(figure, subject.to_string(), round, rate);
        }
        let mut session = self.session(subject, placement)?;
        session.launch()?;
        let (piece, bytes) = (LARGE, self.amounts.stream);
        for (direction, order) in [
            ("to the host", Order::Download { piece, bytes }),
            ("to the plugin", Order::Upload { piece, bytes }),
        ] {
            if let Some(answer) = session.order(order)? {
                let rate = number(&answer, "bytes")? * 1e3 / number(&answer, "ns")?;
                let figure = Figure::stream(direction, placement);
                outcome
                    .results
                    .add(figure, subject.to_string(), round, rate);
            }
        }
        Ok(())
    }

    /// Thousands of calls per second; the first tenth of the time is to warm up.
    fn rate(
        &self,
        session: &mut Session,
        size: usize,
        callers: usize,
    ) -> Result<Option<f64>, Failure> {
        let load = |millis| Order::Load {
            size,
            callers,
            millis,
        };
        session.order(load(self.amounts.millis / 10))?;
        let Some(answer) = session.order(load(self.amounts.millis))? else {
            return Ok(None);
        };
        Ok(Some(
            number(&answer, "calls")? * 1e6 / number(&answer, "ns")?,
        ))
    }

    pub(super) fn callers(
        &self,
        subject: Subject,
        round: usize,
        outcome: &mut Outcome,
    ) -> Result<(), Failure> {
        (self.progress)(&format!("round {}: callers: {subject}", round + 1));
        let mut session = self.session(subject, Placement::OneCore)?;
        session.launch()?;
        for count in [1, 4, 16, 64, 256, 1000] {
            if let Some(rate) = self.rate(&mut session, SMALL, count)? {
                let figure = Figure::callers(count);
                outcome
                    .results
                    .add(figure, subject.to_string(), round, rate);
            }
        }
        Ok(())
    }

    pub(super) fn plugins(
        &self,
        subject: Subject,
        round: usize,
        outcome: &mut Outcome,
    ) -> Result<(), Failure> {
        (self.progress)(&format!("round {}: plugins: {subject}", round + 1));
        for count in self.amounts.plugins {
            let mut session = self.session(subject, Placement::Free)?;
            let (count, rounds) = (*count, self.amounts.calls.div_ceil(10 * count));
            let Some(answer) = session.order(Order::Plugins { count, rounds })? else {
                return Ok(());
            };
            let launch = number(&answer, "launch")? / 1e6 / count as f64;
            let call = number(&answer, "ns")? / 1e3 / number(&answer, "calls")?;
            let host = number(&answer, "host_kib")? * 1024.0 / 1e6;
            for (what, unit, value) in [
                ("launch of each", "ms", launch),
                ("call to each in turn", "us", call),
                ("resident host", "MB", host),
            ] {
                let figure = Figure::plugins(what, count, unit);
                outcome
                    .results
                    .add(figure, subject.to_string(), round, value);
            }
        }
        Ok(())
    }
}
