//! Plugins that are launched only if their program has the right checksum.

use std::path::Path;

use outboard::{Checksum, ChecksumError, Execute, FileDigest, HostError, Tokio};
use sha2::{Digest as _, Sha256};

use super::{Peer, dispense, end, run, start};
use crate::proto::examples::{GetRequest, Kv as _, KvClient, PutRequest};

/// The right checksum lets it start, whatever is executed of it then; a wrong one does not.
pub fn checksum(peer: &Peer) {
    run(async {
        let program = Path::new(&peer.program);
        let digest = Sha256::digest(std::fs::read(program).expect("it was built"));
        let digest = FileDigest::from(digest.to_vec());
        for execute in [Execute::SealedCopy, Execute::OpenFile, Execute::Path] {
            let checksum = Checksum::sha256(digest.clone()).execute(execute);
            let dir = tempfile::tempdir().expect("a directory");
            let command = peer.command(&["kv"]).current_dir(dir.path());
            let host = peer.host(&["kv"]).command(command);
            let plugin = start(host.checksum(checksum)).await;
            let (plugin, kv): (_, KvClient) = dispense(plugin, "kv").await;
            let key = "key".to_owned();
            let put = PutRequest {
                key: key.clone(),
                value: b"value".to_vec(),
            };
            kv.put(put).await.expect("it serves");
            let value = kv.get(GetRequest { key }).await.expect("it serves").value;
            assert!(value.starts_with(b"value"), "{value:?}");
            end(plugin).await;
        }

        let wrong = FileDigest::from([7; 32]);
        let host = peer.host(&["kv"]).checksum(Checksum::sha256(wrong.clone()));
        let error = match host.start(Tokio::current()).await {
            Err(HostError::Checksum { error, .. }) => *error,
            other => panic!("unexpected outcome {other:?}"),
        };
        let ChecksumError::Mismatch { path, mismatch } = error else {
            panic!("unexpected error {error:?}");
        };
        assert_eq!(path, program);
        assert_eq!((mismatch.expected, mismatch.actual), (wrong, digest));
    });
}
