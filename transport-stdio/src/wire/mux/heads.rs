//! What the heads of the peer's frames do: a call begins, has headers, ends.

use std::time::Duration;

use bytes::Bytes;
use outboard_core::rpc::{Code, Metadata, Status};
use outboard_mux::{ReceiveWindow, SendWindow};

use super::Mux;
use super::parts::Head;
use crate::wire::frame::{Body, Header, Kind, OpenHead, StatusHead};
use crate::wire::key::Key;
use crate::wire::metadata;
use crate::wire::reader::Payload;
use crate::wire::state::{Notice, State};
use crate::wire::types::{Event, Offer};
use crate::wire::violation::Violation;

impl Mux {
    pub(super) fn opened(
        &mut self,
        wire: u32,
        end: bool,
        head: OpenHead<'_>,
        body: Body<'_>,
        payload: &Payload<'_>,
    ) -> Result<(), Violation> {
        if wire >= self.config.settings.max_streams {
            return Err(Violation::WrongStream {
                kind: Kind::Open as u8,
                stream: wire,
            });
        }
        let settings = self.config.settings;
        let path = self.paths.get(head.path);
        let key = self
            .theirs
            .add_at(wire, State::acceptor())
            .ok_or(Violation::StreamBusy { stream: wire })?;
        let long = if head.parts {
            Some(self.head_in_parts(Kind::Open, key, wire)?)
        } else {
            self.heads.forget(true, wire);
            None
        };
        let mut dropped = None;
        let metadata = match long {
            None => metadata::decode(head.metadata, false)?,
            Some(Head::Whole(bytes)) => metadata::decode(&bytes, true)?,
            Some(Head::Dropped(len)) => {
                dropped = Some(len);
                Ok(Metadata::new())
            }
        };
        let send = SendWindow::new(self.peer.stream_window);
        if let Some(stream) = self.theirs.get_mut(key) {
            stream.channel = head.channel;
            stream.send = send;
            stream.receive = ReceiveWindow::new(settings.stream_window);
        }
        self.body(key, wire, body, payload)?;
        self.ended(key, end);
        if self.going_away && head.channel == 0 {
            self.refuse(key, &Status::unavailable("going away: no more calls"));
            return Ok(());
        }
        if let Some(len) = dropped {
            let status = self.no_room(len);
            self.refuse(key, &status);
            return Ok(());
        }
        let metadata = match metadata {
            Ok(metadata) => metadata,
            Err(error) => {
                self.refuse(key, &Status::internal(error.to_string()));
                return Ok(());
            }
        };
        // The message may have been over the limit.
        if self.is_sending(key) {
            let offer = Offer {
                path,
                channel: head.channel,
                timeout: head.timeout.map(Duration::from_nanos),
                metadata,
            };
            self.events.push_back(Event::Opened(key, offer));
        }
        Ok(())
    }

    pub(super) fn headers_came(
        &mut self,
        key: Key,
        wire: u32,
        block: &[u8],
        parts: bool,
    ) -> Result<(), Violation> {
        let Some(stream) = self.ours.get_mut(key) else {
            return Ok(());
        };
        let came = stream.state.headers_came();
        came.map_err(|invalid| invalid.of(Kind::Headers as u8, wire))?;
        let headers = if parts {
            match self.head_in_parts(Kind::Headers, key, wire)? {
                Head::Whole(bytes) => metadata::decode(&bytes, true)?,
                Head::Dropped(len) => {
                    let status = self.no_room(len);
                    self.cancel(key, status);
                    return Ok(());
                }
            }
        } else {
            metadata::decode(block, false)?
        };
        let Some(stream) = self.ours.get_mut(key) else {
            return Ok(());
        };
        match headers {
            Ok(_) if stream.state.is_deaf() => {}
            Ok(headers) => stream.headers_in = Some(headers),
            Err(error) => {
                self.cancel(key, Status::internal(format!("bad headers: {error}")));
            }
        }
        Ok(())
    }

    pub(super) fn status_came(
        &mut self,
        key: Key,
        header: Header,
        head: StatusHead<'_>,
        body: Body<'_>,
        payload: &Payload<'_>,
    ) -> Result<(), Violation> {
        let wire = header.stream;
        if head.code != 0 && body != Body::Absent {
            return Err(Violation::BadFlags {
                kind: header.kind,
                flags: header.flags,
            });
        }
        if !head.headers.is_empty() {
            self.headers_came(key, wire, head.headers, false)?;
        }
        let long = if head.parts {
            Some(self.head_in_parts(Kind::Status, key, wire)?)
        } else {
            self.heads.forget(false, wire);
            None
        };
        let mut head = head;
        if let Some(Head::Whole(bytes)) = &long {
            let (code, refused) = (head.code, head.refused);
            head = StatusHead {
                code,
                refused,
                parts: true,
                ..StatusHead::decode_long(bytes)?
            };
        }
        let is_long = matches!(long, Some(Head::Whole(_)));
        if head.code == 0 && self.stream(key).is_some_and(|s| s.large_in.is_midway()) {
            return Err(Violation::EndInMessage { stream: wire });
        }
        let trailers = metadata::decode(head.trailers, is_long)?;
        self.body(key, wire, body, payload)?;
        let result = match (trailers, &long) {
            // Of a success without its trailers nobody would know.
            (Ok(_), Some(Head::Dropped(len))) if head.code == 0 => Err(self.no_room(*len)),
            (Ok(trailers), _) => result_of(head, trailers),
            (Err(error), _) => Err(Status::internal(format!("bad trailers: {error}"))),
        };
        self.ended(key, true);
        self.drop_large(key);
        if let Some(stream) = self.ours.get_mut(key) {
            stream.result.get_or_insert(result);
            if stream.give_up() == Notice::Due {
                self.queue(key);
            }
        }
        if !self.remove_if_done(key) {
            self.tell_readable(key);
        }
        Ok(())
    }
}

fn result_of(head: StatusHead<'_>, trailers: Metadata) -> Result<Metadata, Status> {
    if head.code == 0 {
        return Ok(trailers);
    }
    let code = Code::from_number(head.code.into());
    Err(Status::new(code, head.text.to_owned())
        .with_details(Bytes::copy_from_slice(head.details))
        .with_metadata(trailers))
}
