//! A vendor's library, and finding objects in its slots.
use crate::{TokenError, TokenKey, key};
use crypto::Secret;
use cryptoki::context::{CInitializeArgs, CInitializeFlags, Pkcs11};
use cryptoki::error::{Error, RvError};
use cryptoki::object::{Attribute, AttributeType, CertificateType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use std::fmt;
use std::sync::Arc;

/// Objects of one class looked at in a slot when no handle is given.
const MOST: usize = 256;

/// Where an object is (`handle`, `slot`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// CKA_ID; as `%smartcard:…` handles it is written in hexadecimal.
    pub handle: Vec<u8>,
    /// Slot number; `None` looks in all.
    pub slot: Option<u64>,
}

impl Place {
    fn hex(&self) -> String {
        self.handle.iter().map(|b| format!("{b:02x}")).collect()
    }
}

/// A PKCS#11 library, loaded and started. Copies share it.
#[derive(Clone)]
pub struct Module {
    name: Arc<str>,
    context: Pkcs11,
}

impl fmt::Debug for Module {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Module({})", self.name)
    }
}

impl Module {
    /// Loads the library at `path`, called `name` in the configuration (`charon.plugins.pkcs11.modules.<name>.path`).
    /// `os_locking`: the library may be used from several threads.
    ///
    /// # Errors
    /// [`TokenError::Module`].
    pub fn load(name: &str, path: &str, os_locking: bool) -> Result<Self, TokenError> {
        let failed = |reason: String| TokenError::Module { module: name.into(), path: path.into(), reason };
        let context = Pkcs11::new(path).map_err(|e| failed(e.to_string()))?;
        let flags = if os_locking { CInitializeFlags::OS_LOCKING_OK } else { CInitializeFlags::empty() };
        match context.initialize(CInitializeArgs::new(flags)) {
            Ok(()) | Err(Error::Pkcs11(RvError::CryptokiAlreadyInitialized, _)) => {}
            Err(e) => return Err(failed(e.to_string())),
        }
        Ok(Self { name: name.into(), context })
    }

    /// Name in the configuration.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn slots(&self, place: &Place) -> Result<Vec<Slot>, TokenError> {
        let all = self.context.get_slots_with_initialized_token()?;
        Ok(all.into_iter().filter(|slot| place.slot.is_none_or(|wanted| slot.id() == wanted)).collect())
    }

    fn missing(&self, what: &'static str, place: &Place) -> TokenError {
        let slot = place.slot.map_or_else(|| "any slot".to_owned(), |slot| format!("slot {slot}"));
        TokenError::NotFound { what, handle: place.hex(), place: format!("{slot} of module '{}'", self.name) }
    }

    /// The certificate at a place, DER. Tokens show certificates without a PIN; where one does not, `pin` opens it.
    ///
    /// # Errors
    /// [`TokenError::NotFound`], or what the token says.
    pub fn certificate(&self, place: &Place, pin: Option<&Secret>) -> Result<Vec<u8>, TokenError> {
        let template = [
            Attribute::Class(ObjectClass::CERTIFICATE),
            Attribute::CertificateType(CertificateType::X_509),
            Attribute::Id(place.handle.clone()),
        ];
        for slot in self.slots(place)? {
            let session = self.context.open_ro_session(slot)?;
            if let Some(pin) = pin {
                self.login(&session, slot, pin)?;
            }
            for object in session.find_objects(&template)? {
                if let Some(der) = value(&session, object)? {
                    return Ok(der);
                }
            }
        }
        Err(self.missing("certificate", place))
    }

    /// All X.509 certificates that are readable without a PIN, DER; `true` marks those the token calls trusted
    /// (CKA_TRUSTED). At most 256 of each slot.
    ///
    /// # Errors
    /// What the token says.
    pub fn certificates(&self) -> Result<Vec<(Vec<u8>, bool)>, TokenError> {
        let template =
            [Attribute::Class(ObjectClass::CERTIFICATE), Attribute::CertificateType(CertificateType::X_509)];
        let mut found = Vec::new();
        for slot in self.context.get_slots_with_initialized_token()? {
            let session = self.context.open_ro_session(slot)?;
            for object in session.find_objects(&template)?.into_iter().take(MOST) {
                let Some(der) = value(&session, object)? else { continue };
                let trusted = session.get_attributes(object, &[AttributeType::Trusted]).unwrap_or_default();
                found.push((der, trusted.contains(&Attribute::Trusted(true))));
            }
        }
        Ok(found)
    }

    /// The private key at a place. The PIN is kept, wiped at the end, to log in again if the token was reset.
    ///
    /// # Errors
    /// [`TokenError::NotFound`], [`TokenError::Login`], [`TokenError::Unsupported`] for kinds of keys that are not
    /// offered, or what the token says.
    pub fn key(&self, place: &Place, pin: Secret) -> Result<TokenKey, TokenError> {
        for slot in self.likely(place)? {
            let session = self.session(slot, &pin)?;
            if key::find(&session, &place.handle)?.is_some() {
                let public = key::public(&session, &place.handle)?;
                return Ok(TokenKey::new(self.clone(), slot, place.handle.clone(), pin, public));
            }
        }
        Err(self.missing("private key", place))
    }

    /// Slots to log in to: a wrong PIN may lock a token, so it is tried only where a public object of that handle
    /// says that the key is there, or where there is no choice.
    fn likely(&self, place: &Place) -> Result<Vec<Slot>, TokenError> {
        let mut slots = self.slots(place)?;
        if place.slot.is_none() && slots.len() > 1 {
            let mut shown = Vec::new();
            for slot in slots {
                let session = self.context.open_ro_session(slot)?;
                if !session.find_objects(&[Attribute::Id(place.handle.clone())])?.is_empty() {
                    shown.push(slot);
                }
            }
            slots = shown;
        }
        Ok(slots)
    }

    /// A session that is logged in.
    pub(crate) fn session(&self, slot: Slot, pin: &Secret) -> Result<Session, TokenError> {
        let session = self.context.open_ro_session(slot)?;
        self.login(&session, slot, pin)?;
        Ok(session)
    }

    fn login(&self, session: &Session, slot: Slot, pin: &Secret) -> Result<(), TokenError> {
        let refused =
            |reason: String| TokenError::Login { module: self.name.to_string(), slot: slot.id(), reason };
        let text = std::str::from_utf8(pin.as_slice()).map_err(|_| refused("the PIN is not UTF-8".into()))?;
        match session.login(UserType::User, Some(&AuthPin::new(text.into()))) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => Ok(()),
            Err(e) => Err(refused(e.to_string())),
        }
    }
}

/// CKA_VALUE.
fn value(session: &Session, object: ObjectHandle) -> Result<Option<Vec<u8>>, TokenError> {
    let found = session.get_attributes(object, &[AttributeType::Value])?;
    Ok(found.into_iter().find_map(|a| if let Attribute::Value(der) = a { Some(der) } else { None }))
}
