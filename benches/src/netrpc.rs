//! Go's net/rpc between a host and a plugin on outboard: the measured service as go-plugin's programs have
//! it over this protocol, with the same methods and the same bytes.

use std::future::Ready;

use outboard::netrpc::{Error, interface};
use outboard::{Host, NetRpc, RunningPlugin};

use crate::Failure;
use crate::drive;
use crate::orders::{Order, unsupported};
use crate::outboard_host::{Service, Speaks};
use crate::probe::Marks;

/// The service. It has neither streams nor a broker, as it has none in Go.
#[interface]
pub trait RpcBench {
    /// Gives back what it got.
    async fn echo(&self, data: Vec<u8>) -> Result<Vec<u8>, Error>;

    /// When main began, in nanoseconds on the monotonic clock.
    async fn born(&self, data: Vec<u8>) -> Result<u64, Error>;
}

/// The plugin's side, with when its main function began.
#[derive(Clone, Copy, Debug)]
pub struct RpcImplementation(pub u64);

impl RpcBench for RpcImplementation {
    async fn echo(&self, data: Vec<u8>) -> Result<Vec<u8>, Error> {
        Ok(data)
    }

    async fn born(&self, _data: Vec<u8>) -> Result<u64, Error> {
        Ok(self.0)
    }
}

/// A host that speaks it.
#[derive(Clone, Copy, Debug)]
pub struct OverNetRpc;

impl Speaks for OverNetRpc {
    type Client = RpcBenchClient;

    fn of_host(&self, host: Host, _marks: &Marks) -> Result<Host, Failure> {
        // The connect of its socket is taken note of by the runtime.
        Ok(host.transport(NetRpc::new()))
    }
}

impl Service for RpcBenchClient {
    async fn born(&self) -> Result<u64, Failure> {
        Ok(RpcBench::born(self, Vec::new()).await?)
    }

    fn dial(&self, _plugin: &RunningPlugin) -> Option<impl Future<Output = Result<u64, Failure>>> {
        None::<Ready<Result<u64, Failure>>>
    }
}

impl drive::Client for RpcBenchClient {
    async fn echo(&self, data: Vec<u8>) -> Result<usize, Failure> {
        Ok(RpcBench::echo(self, data).await?.len())
    }

    async fn compute(&self, micros: u64) -> Result<(), Failure> {
        let callers = 1;
        Err(unsupported(&Order::Compute { callers, micros }))
    }

    async fn download(&self, piece: usize, bytes: usize) -> Result<usize, Failure> {
        Err(unsupported(&Order::Download { piece, bytes }))
    }

    async fn upload(&self, piece: usize, bytes: usize) -> Result<usize, Failure> {
        Err(unsupported(&Order::Upload { piece, bytes }))
    }
}
