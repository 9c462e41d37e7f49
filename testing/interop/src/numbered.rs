//! Many brokered servers, each of which shows by its answers who it is.

use std::sync::{Arc, OnceLock};

use futures_util::future::join_all;
use outboard::{Broker, BrokerError, Served, Status};

use crate::proto::examples::{
    AddHelper, AddHelperClient, AddHelperServer, SumRequest, SumResponse,
};

/// Adds its broker id to what it sums.
#[derive(Clone, Debug, Default)]
pub struct Numbered(Arc<OnceLock<u32>>);

impl Numbered {
    /// Serves so many of them, until they are dropped.
    ///
    /// # Errors
    /// If one cannot be served.
    pub fn serve(broker: &Broker, count: u32) -> Result<Vec<Served>, BrokerError> {
        let one = |_| {
            let numbered = Self::default();
            let served = broker.serve(AddHelperServer::new(numbered.clone()))?;
            // Before anybody is told of it.
            let _first = numbered.0.set(served.id());
            Ok(served)
        };
        (0..count).map(one).collect()
    }
}

impl AddHelper for Numbered {
    async fn sum(&self, request: SumRequest) -> Result<SumResponse, Status> {
        let id = self.0.get().ok_or_else(|| Status::internal("no id yet"))?;
        Ok(SumResponse {
            r: request.a + request.b + i64::from(*id),
        })
    }
}

/// Dials these ids, all at once or one after another, and has what answers there add nothing: what
/// each dial came to, in their order.
pub async fn dial_numbered(
    broker: &Broker,
    ids: &[u32],
    at_once: bool,
) -> Vec<Result<i64, Status>> {
    let dial = async |id: &u32| -> Result<i64, Status> {
        let helper: AddHelperClient = broker.dial(*id).await?;
        Ok(helper.sum(SumRequest { a: 0, b: 0 }).await?.r)
    };
    if at_once {
        return join_all(ids.iter().map(dial)).await;
    }
    let mut answers = Vec::new();
    for id in ids {
        answers.push(dial(id).await);
    }
    answers
}
